"""The protocol with one provider, which answers in memory as the test tells it: right, wrong, or not at all."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.users.identities.flows import FlowSecret
from services.users.identities.provider import (
    MAX_ANSWER_BYTES,
    InvalidIdToken,
    Person,
    Provider,
    ProviderDown,
    ProviderRefused,
)
from services.users.identity_providers import DISCOVERY, IdentityProvider
from shared.http.tokens import b64url
from tests.support.gateway.issuers import IssuerSigner, now

ISSUER = "https://identity.example.com"
CLIENT = "shop"
REDIRECT = "https://dashboard.example.com/v1/identity-providers/example/callback"
FIRST, SECOND = IssuerSigner.of("RS256", "first"), IssuerSigner.of("ES256", "second")
SECRET = FlowSecret("a secret of one browser")
CODE = "the-code"


def config(**changed: Any) -> IdentityProvider:
    told = {"name": "example", "title": "Example", "issuer": ISSUER, "client_id": CLIENT, "client_secret": "s3cret"}
    return IdentityProvider.model_validate({k: v for k, v in (told | changed).items() if v is not None})


@dataclass
class Issuer:
    """A provider as an HTTP transport. `claims` are added to those of the ID token; None removes one."""

    signer: IssuerSigner = FIRST
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=lambda: [FIRST.jwk()])
    answers: dict[str, Callable[[], httpx.Response]] = field(default_factory=dict)
    id_token: str | None = None
    asked: list[httpx.Request] = field(default_factory=list)
    userinfo: dict[str, Any] = field(default_factory=dict)
    is_silent: bool = False

    def paths(self) -> list[str]:
        return [request.url.path for request in self.asked]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.is_silent:
            await asyncio.Event().wait()
        path = request.url.path
        if path in self.answers:
            return self.answers[path]()
        documents = {DISCOVERY: self._discovered, "/keys": self._keys, "/token": self._token}
        return httpx.Response(200, json=documents.get(path, lambda: self.userinfo)())

    def _discovered(self) -> dict[str, Any]:
        told = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize?tenant=1",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
        }
        return {name: value for name, value in (told | self.metadata).items() if value is not None}

    def _keys(self) -> dict[str, Any]:
        return {"keys": self.keys}

    def _token(self) -> dict[str, Any]:
        own = {"iss": ISSUER, "aud": CLIENT, "sub": "ann", "iat": now(), "exp": now(300), "nonce": SECRET.nonce}
        told = own | {"email": "ann@example.com", "email_verified": True, "name": "Ann"} | self.claims
        signed = self.signer.sign(None, **told)
        return {"id_token": self.id_token or signed, "access_token": "an access token", "token_type": "Bearer"}


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def http(issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(issuer)) as client:
        yield client


@pytest.fixture
def provider(http: httpx.AsyncClient) -> Provider:
    return Provider(config(), http, 60.0)


async def identified(provider: Provider) -> Person:
    return await provider.identify(REDIRECT, CODE, SECRET)


async def test_where_a_browser_is_sent(provider: Provider) -> None:
    """With state, nonce and the S256 challenge of PKCE, which all follow from the secret of the browser; the secret and
    the verifier stay here."""
    url = httpx.URL(await provider.authorization_url(REDIRECT, SECRET))
    assert (url.host, url.path) == ("identity.example.com", "/authorize")
    told = dict(url.params)
    assert told.pop("code_challenge") not in (SECRET.verifier, SECRET.text)
    assert told == {
        "tenant": "1",
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": REDIRECT,
        "scope": "openid email profile",
        "state": SECRET.state,
        "nonce": SECRET.nonce,
        "code_challenge_method": "S256",
    }
    assert len({SECRET.state, SECRET.nonce, SECRET.verifier, SECRET.ticket, SECRET.text}) == 5
    assert all(hidden not in str(url) for hidden in (SECRET.verifier, SECRET.text, SECRET.ticket))


async def test_a_confirmation_asks_for_a_new_sign_in(provider: Provider) -> None:
    told = httpx.URL(await provider.authorization_url(REDIRECT, SECRET, again=True)).params
    assert (told["prompt"], told["max_age"]) == ("login", "0")


async def test_who_has_signed_in(provider: Provider, issuer: Issuer) -> None:
    """The code is exchanged with the verifier and the client's secret; metadata and keys are read once."""
    issuer.claims = {"auth_time": 1_700_000_000}
    moment = datetime.fromtimestamp(1_700_000_000, UTC)
    expected = Person(ISSUER, "ann", "ann@example.com", email_verified=True, name="Ann", authenticated_at=moment)
    assert [await identified(provider), await identified(provider)] == [expected] * 2
    assert issuer.paths() == [DISCOVERY, "/token", "/keys", "/token"]
    exchange = issuer.asked[1]
    assert {name: value for name, (value,) in parse_qs(exchange.content.decode()).items()} == {
        "grant_type": "authorization_code",
        "code": CODE,
        "redirect_uri": REDIRECT,
        "code_verifier": SECRET.verifier,
    }
    assert exchange.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("secret", "methods", "in_body"),
    [("s3cret", ["client_secret_post"], {"client_id", "client_secret"}), (None, ["none"], {"client_id"})],
)
async def test_how_the_client_proves_itself(
    http: httpx.AsyncClient, issuer: Issuer, secret: str | None, methods: list[str], in_body: set[str]
) -> None:
    """In the way that the provider supports; a public client has only its id."""
    issuer.metadata = {"token_endpoint_auth_methods_supported": methods}
    await identified(Provider(config(client_secret=secret), http, 60.0))
    exchange = issuer.asked[1]
    assert "Authorization" not in exchange.headers
    assert {"client_id", "client_secret"} & parse_qs(exchange.content.decode()).keys() == in_body


HOUR = 3600
UNACCEPTABLE: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example.com"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "another"},
    "no audience": {"aud": None},
    "for another party": {"aud": [CLIENT, "other"], "azp": "other"},
    "several audiences without a party": {"aud": [CLIENT, "other"]},
    "a foreign nonce": {"nonce": FlowSecret("another browser").nonce},
    "no nonce": {"nonce": None},
    "expired": {"exp": now(-HOUR), "iat": now(-2 * HOUR)},
    "no expiry": {"exp": None},
    "not valid yet": {"nbf": now(HOUR)},
    "issued in the future": {"iat": now(HOUR)},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is too long": {"sub": "x" * 256},
    "a subject that no table holds": {"sub": "a\x00b"},
    "the hash of another access token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "a time that does not exist": {"auth_time": 10**18},
    "a time that is text": {"auth_time": "yesterday"},
}


@pytest.mark.parametrize("changed", UNACCEPTABLE.values(), ids=UNACCEPTABLE)
async def test_an_id_token_that_proves_nothing(provider: Provider, issuer: Issuer, changed: dict[str, Any]) -> None:
    issuer.claims = changed
    with pytest.raises(InvalidIdToken):
        await identified(provider)


def forged(header: dict[str, str], key: bytes = b"") -> str:
    """Return a token with the right claims, signed with this key as a shared secret, if there is one."""
    told = {"iss": ISSUER, "aud": CLIENT, "sub": "ann", "iat": now(), "exp": now(300), "nonce": SECRET.nonce}
    signed = ".".join(b64url(json.dumps(part).encode()) for part in (header, told))
    return f"{signed}.{b64url(hmac.digest(key, signed.encode(), 'sha256')) if key else ''}"


def public_key() -> bytes:
    return FIRST.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


FORGED = {
    "unsigned": forged({"alg": "none"}),
    "signed with the public key": forged({"alg": "HS256", "kid": "first"}, public_key()),
    "rubbish": "rubbish",
    "three parts": "a.b.c",
    "not ASCII": "é",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
async def test_an_id_token_that_nobody_signed(provider: Provider, issuer: Issuer, token: str) -> None:
    """Also one that is signed with the public key as if it were a shared secret."""
    issuer.id_token = token
    with pytest.raises(InvalidIdToken):
        await identified(provider)


async def test_a_foreign_key_signs_nothing(provider: Provider, issuer: Issuer) -> None:
    """Under the id of a known key, too. The keys are read again once, in case they have changed."""
    issuer.signer = IssuerSigner.of("RS256", "first", number=9)
    with pytest.raises(InvalidIdToken):
        await identified(provider)
    assert issuer.paths().count("/keys") <= 2


async def test_a_new_key_is_found(provider: Provider, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys are read again for an id token that none of them has signed."""
    await identified(provider)
    issuer.signer, issuer.keys = SECOND, [FIRST.jwk(), SECOND.jwk()]
    monkeypatch.setattr("services.users.identities.provider.KEYS_AGAIN_S", 0.0)
    assert (await identified(provider)).subject == "ann"
    assert issuer.paths().count("/keys") == 2


async def test_the_address_may_come_from_the_userinfo_endpoint(provider: Provider, issuer: Issuer) -> None:
    """If the ID token has none, with the access token; but only about the same person."""
    issuer.claims = {"email": None, "email_verified": None}
    issuer.userinfo = {"sub": "ann", "email": "ann@example.com", "email_verified": "true", "iss": "https://evil"}
    person = await identified(provider)
    assert (person.email, person.email_verified, person.issuer) == ("ann@example.com", True, ISSUER)
    assert issuer.asked[-1].headers["Authorization"] == "Bearer an access token"
    issuer.userinfo["sub"] = "bob"
    with pytest.raises(InvalidIdToken):
        await identified(provider)


@pytest.mark.parametrize("verified", [None, False, "false", 1, "yes", [True]])
async def test_an_address_counts_as_verified_only_if_it_is_said(
    provider: Provider, issuer: Issuer, verified: object
) -> None:
    issuer.claims = {"email_verified": verified}
    assert not (await identified(provider)).email_verified


async def test_a_code_that_is_not_accepted(provider: Provider, issuer: Issuer) -> None:
    issuer.answers["/token"] = lambda: httpx.Response(400, json={"error": "invalid_grant"})
    with pytest.raises(ProviderRefused):
        await identified(provider)


DOWN: dict[str, tuple[str, Callable[[], httpx.Response]]] = {
    "no metadata": (DISCOVERY, lambda: httpx.Response(404)),
    "metadata that is a page": (DISCOVERY, lambda: httpx.Response(200, text="<html>")),
    "metadata without endpoints": (DISCOVERY, lambda: httpx.Response(200, json={"issuer": ISSUER})),
    "metadata without end": (DISCOVERY, lambda: httpx.Response(200, content=b" " * (MAX_ANSWER_BYTES + 1))),
    "metadata elsewhere": (DISCOVERY, lambda: httpx.Response(302, headers={"Location": "https://evil.example.com/"})),
    "an error of the server": ("/token", lambda: httpx.Response(500, text="Traceback")),
    "a client that is refused": ("/token", lambda: httpx.Response(401, json={"error": "invalid_client"})),
    "tokens that are a page": ("/token", lambda: httpx.Response(200, text="<html>")),
    "no ID token": ("/token", lambda: httpx.Response(200, json={"access_token": "x"})),
    "no keys": ("/keys", lambda: httpx.Response(503)),
    "keys that are none": ("/keys", lambda: httpx.Response(200, json={"keys": [{"kty": "?"}]})),
}


@pytest.mark.parametrize(("path", "answer"), DOWN.values(), ids=DOWN)
async def test_a_provider_that_is_not_well(
    provider: Provider, issuer: Issuer, path: str, answer: Callable[[], httpx.Response]
) -> None:
    issuer.answers[path] = answer
    with pytest.raises(ProviderDown):
        await identified(provider)


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://evil.example.com"},
        {"issuer": f"{ISSUER}/"},
        {"token_endpoint": "http://identity.example.com/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": "http://127.0.0.1/"},
    ],
)
async def test_metadata_that_leads_elsewhere(provider: Provider, issuer: Issuer, changed: dict[str, Any]) -> None:
    """Metadata of another issuer is refused, and so are addresses that are less protected than the issuer."""
    issuer.metadata = changed
    with pytest.raises(ProviderDown):
        await provider.authorization_url(REDIRECT, SECRET)
    assert issuer.paths() == [DISCOVERY]


async def test_a_provider_that_is_silent(http: httpx.AsyncClient, issuer: Issuer) -> None:
    """Is waited for no longer than the timeout."""
    issuer.is_silent = True
    provider = Provider(config(), http, 0.01)
    with pytest.raises(ProviderDown):
        await provider.authorization_url(REDIRECT, SECRET)
    with pytest.raises(ProviderDown):
        await identified(provider)


async def test_what_is_known_outlives_an_outage(
    provider: Provider, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old metadata and keys are used while new ones cannot be read."""
    await identified(provider)
    monkeypatch.setattr("services.users.identities.provider.CACHED_S", 0.0)
    for path in (DISCOVERY, "/keys"):
        issuer.answers[path] = lambda: httpx.Response(503)
    assert (await identified(provider)).subject == "ann"


@pytest.mark.parametrize(
    ("supported", "named", "accepted"),
    [
        (False, None, True),
        (False, ISSUER, True),
        (True, ISSUER, True),
        (True, None, False),
        (False, "https://evil.example.com", False),
        (False, "", True),
    ],
)
async def test_the_issuer_that_a_callback_names(
    provider: Provider, issuer: Issuer, supported: bool, named: str | None, accepted: bool
) -> None:
    """Must be the provider's; a provider that always names one must have done so (RFC 9207). Otherwise the code is sent
    nowhere."""
    issuer.metadata = {"authorization_response_iss_parameter_supported": supported}
    if accepted:
        assert (await provider.identify(REDIRECT, CODE, SECRET, named)).subject == "ann"
        return
    with pytest.raises(InvalidIdToken):
        await provider.identify(REDIRECT, CODE, SECRET, named)
    assert "/token" not in issuer.paths()
