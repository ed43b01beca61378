"""Tokens of another issuer: which are accepted, and which are refused."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.auth.issuer_keys import KINDS
from services.gateway.auth.issuers import ForeignIssuer, Issuers, claimed_issuer
from services.gateway.auth.jwks import OwnKeys
from services.gateway.errors import KeysUnavailable
from services.gateway.settings import Settings, Tuning
from services.gateway.trusted_issuers import TrustedIssuer
from shared.http.tokens import CLOCK_SKEW_S, InvalidToken, b64url
from tests.support.gateway.issuers import (
    AUDIENCE,
    ISSUER,
    JWKS_URL,
    IssuerSigner,
    PublishedDocuments,
    claims,
    jwks,
    now,
)

EC, RSA = IssuerSigner.of("ES256", "ec"), IssuerSigner.of("RS256", "rsa")
STRANGER = IssuerSigner.of("ES256", "ec")


def issuer(published: PublishedDocuments, tuning: Tuning | None = None, **fields: Any) -> ForeignIssuer:
    trusted = TrustedIssuer.model_validate({"issuer": ISSUER, "audience": AUDIENCE, "jwks": JWKS_URL, **fields})
    return ForeignIssuer(trusted, published, tuning or Tuning(jwks_unknown_key_pause_s=0))


def publishing(*signers: IssuerSigner) -> PublishedDocuments:
    return PublishedDocuments({JWKS_URL: jwks(*(signer.jwk() for signer in signers))})


USUAL = issuer(publishing(EC, RSA))


@pytest.mark.parametrize("algorithm", [algorithm for algorithms in KINDS.values() for algorithm in algorithms])
async def test_every_asymmetric_algorithm_is_accepted(algorithm: str) -> None:
    """The caller is the subject, has the role `user`, and keeps the plain claims."""
    signer = IssuerSigner.of(algorithm)
    found = await issuer(publishing(signer)).verify(signer.sign(customer_no=17), CLOCK_SKEW_S)
    assert (found.subject, found.role, found.kept["customer_no"]) == ("ann", "user", 17)
    assert 200 < found.expires - time.time() <= 300


async def test_one_rsa_key_may_sign_with_several_algorithms() -> None:
    """If the key set does not state one."""
    one = issuer(PublishedDocuments({JWKS_URL: jwks(RSA.jwk(alg=None))}))
    for algorithm in ("RS256", "RS512", "PS256"):
        assert (await one.verify(IssuerSigner("rsa", algorithm, RSA.private).sign(), 0)).subject == "ann"


@pytest.mark.parametrize(
    "changed",
    [
        lambda: {"aud": ["other", AUDIENCE]},
        lambda: {"iat": None},
        lambda: {"nbf": now(-5)},
        lambda: {"nbf": now(50)},
        lambda: {"exp": now(-5)},
        lambda: {"exp": float(now(300))},
        lambda: {"jti": 5, "sid": "a session of theirs", "role": "admin", "nonce": "x"},
        lambda: {"sub": 17},
    ],
)
async def test_what_an_issuer_may_do_differently_is_accepted(changed: Callable[[], dict[str, Any]]) -> None:
    """Several audiences, no time of issue, clocks that differ by less than the leeway, claims without a meaning
    here."""
    assert (await USUAL.verify(EC.sign(**changed()), leeway_s=60)).role == "user"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+JWT", None])
async def test_the_usual_types_are_accepted(typ: str | None) -> None:
    """A token of a caller has the type JWT or at+jwt (RFC 9068), or none."""
    assert (await USUAL.verify(EC.sign({"typ": typ}), 0)).subject == "ann"


def symmetric(secret: bytes, algorithm: str = "HS256", kid: str = "rsa") -> str:
    """Return a token signed with a public key as the secret: a verifier that trusts `alg` would accept it."""
    head = b64url(json.dumps({"alg": algorithm, "typ": "JWT", "kid": kid}).encode())
    body = b64url(json.dumps(claims()).encode())
    mac = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def public(encoding: Encoding, form: PublicFormat) -> bytes:
    return RSA.private.public_key().public_bytes(encoding, form)


def with_payload_of_another() -> str:
    header, _, signature = EC.sign().split(".")
    return f"{header}.{EC.sign(sub='bob').split('.')[1]}.{signature}"


REFUSED: dict[str, Callable[[], str]] = {
    "another issuer": lambda: EC.sign(iss=f"{ISSUER}/"),
    "no issuer": lambda: EC.sign(iss=None),
    "another audience": lambda: EC.sign(aud="other"),
    "part of the audience": lambda: EC.sign(aud=AUDIENCE[:-1]),
    "no audience": lambda: EC.sign(aud=None),
    "an empty list of audiences": lambda: EC.sign(aud=[]),
    "HS256 with the public key as PEM": lambda: symmetric(public(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
    "HS256 with the public key as PKCS 1": lambda: symmetric(public(Encoding.PEM, PublicFormat.PKCS1)),
    "HS256 with the public key as DER": lambda: symmetric(public(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
    "HS256 with an empty secret": lambda: symmetric(b""),
    "HS512": lambda: symmetric(b"x" * 64, "HS512"),
    "unsigned": lambda: jwt.encode(claims(), None, algorithm="none", headers={"kid": "ec"}),  # type: ignore[arg-type]
    "unsigned, spelt otherwise": lambda: symmetric(b"", "nOnE", "ec"),
    "without a signature": lambda: EC.sign().rpartition(".")[0] + ".",
    "ES256 with the RSA key": lambda: EC.named("rsa").sign(),
    "RS256 with the EC key": lambda: RSA.named("ec").sign(),
    "RS512 with a key for RS256": lambda: IssuerSigner("rsa", "RS512", RSA.private).sign(),
    "an unknown algorithm": lambda: symmetric(b"x" * 64, "ES256K", "ec"),
    "another key under the same id": lambda: STRANGER.sign(),
    "an unknown key id": lambda: EC.named("third").sign(),
    "no key id, and two keys": lambda: EC.named(None).sign(),
    "a key in the header": lambda: STRANGER.sign({"jwk": STRANGER.jwk(), "jku": "https://attacker/keys"}),
    "an unknown critical extension": lambda: EC.sign({"crit": ["exp2"], "exp2": 1}),
    "a logout token by its type": lambda: EC.sign({"typ": "logout+jwt"}),
    "a logout token by its events": lambda: EC.sign(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
    "a type that is no text": lambda: EC.sign({"typ": 5}),
    "expired": lambda: EC.sign(exp=now(-CLOCK_SKEW_S - 10)),
    "no expiry": lambda: EC.sign(exp=None),
    "an expiry that is no number": lambda: EC.sign(exp="soon"),
    "an infinite expiry": lambda: EC.sign(exp=float("inf")),
    "not yet valid": lambda: EC.sign(nbf=now(300)),
    "issued in the future": lambda: EC.sign(iat=now(300)),
    "no subject": lambda: EC.sign(sub=None),
    "an empty subject": lambda: EC.sign(sub=""),
    "a long subject": lambda: EC.sign(sub="x" * 257),
    "a subject with a line break": lambda: EC.sign(sub="ann\nbob"),
    "the payload of another token": with_payload_of_another,
    "garbage": lambda: "garbage",
    "dots": lambda: "...",
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
async def test_a_bad_token_is_refused(make: Callable[[], str]) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(InvalidToken):
        await USUAL.verify(make(), CLOCK_SKEW_S)


async def test_a_token_of_one_issuer_is_not_one_of_another() -> None:
    """Even if both use the same key id, and each token names the other issuer."""
    other = IssuerSigner.of("ES256", "ec")
    with pytest.raises(InvalidToken):
        await USUAL.verify(other.sign(iss="https://other.example.com"), 0)
    with pytest.raises(InvalidToken):
        await USUAL.verify(other.sign(), 0)


async def test_a_key_without_an_id_verifies_tokens_without_one() -> None:
    """Some issuers have a single key, which they do not name."""
    alone = EC.named(None)
    one = issuer(publishing(alone))
    assert (await one.verify(alone.sign(), 0)).subject == "ann"
    with pytest.raises(InvalidToken):
        await one.verify(STRANGER.named(None).sign(), 0)
    with pytest.raises(InvalidToken):
        await one.verify(EC.sign(), 0)


@pytest.mark.parametrize("kid", [None, "current"])
@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_a_key_that_was_replaced_under_its_id_is_fetched(kid: str | None, algorithm: str) -> None:
    """A token that the known key did not sign causes a fetch. The new key may be of another kind; tokens of the old
    one are refused from then on."""
    old, new = IssuerSigner.of("ES256", kid), IssuerSigner.of(algorithm, kid)
    published = publishing(old)
    one = issuer(published)
    assert (await one.verify(old.sign(), 0)).subject == "ann"
    published.documents[JWKS_URL] = jwks(new.jwk())
    assert (await one.verify(new.sign(), 0)).subject == "ann"
    with pytest.raises(InvalidToken):
        await one.verify(old.sign(), 0)


async def test_forged_tokens_cause_few_fetches() -> None:
    """At most one within the pause, whatever the tokens name."""
    published = publishing(EC)
    one = issuer(published, Tuning(jwks_unknown_key_pause_s=300))
    for forged in (STRANGER, STRANGER, STRANGER.named("x"), STRANGER.named(None)):
        with pytest.raises(InvalidToken):
            await one.verify(forged.sign(), 0)
    assert published.requested == [JWKS_URL]


async def test_without_keys_a_token_is_neither_good_nor_bad() -> None:
    """The error is that of an outage, until the keys arrive. What no key could verify is refused at once."""
    published = PublishedDocuments({JWKS_URL: ConnectionError("refused")})
    one = issuer(published)
    with pytest.raises(KeysUnavailable):
        await one.verify(EC.sign(), 0)
    with pytest.raises(InvalidToken):
        await one.verify(symmetric(b"secret"), 0)
    published.documents[JWKS_URL] = jwks(EC.jwk())
    assert (await one.verify(EC.sign(), 0)).subject == "ann"


async def test_the_configured_claims_say_who_and_what() -> None:
    """By paths, and with several values of the role."""
    one = issuer(
        publishing(EC), user_id="user.number", role="realm_access.roles", roles={"ops": "support", "root": "admin"}
    )
    token = EC.sign(user={"number": 17}, realm_access={"roles": ["everyone", "ops"]})
    found = await one.verify(token, 0)
    assert (found.subject, found.role) == ("17", "support")


def listed(*foreign: ForeignIssuer, own: bool = True) -> Issuers:
    settings = Settings(environment="development")
    return Issuers(OwnKeys(PublishedDocuments(), settings, Tuning()) if own else None, foreign)


def test_the_issuer_is_chosen_by_its_exact_name() -> None:
    """All other tokens are left to this system's own issuer."""
    every = listed(USUAL)
    assert every.foreign(EC.sign()) is USUAL
    for iss in (f"{ISSUER}/", "dashboard-users", "", None):
        assert every.foreign(EC.sign(iss=iss)) is None
    assert listed().foreign("not even read") is None


def test_an_issuer_that_is_no_text_is_none() -> None:
    """Whatever JSON it is."""
    for iss in (5, [ISSUER], {"iss": ISSUER}, True):
        header, body = (b64url(json.dumps(each).encode()) for each in ({"alg": "ES256"}, claims() | {"iss": iss}))
        assert claimed_issuer(f"{header}.{body}.AAAA") is None


@given(st.text(alphabet="abcXYZ019-_.=", max_size=80) | st.text(max_size=20))
def test_nothing_but_invalid_token_is_raised_while_choosing(text: str) -> None:
    """This applies to any text that a client sends as a token."""
    with pytest.raises(InvalidToken):
        listed(USUAL).foreign(text)


async def test_readiness_needs_the_own_keys_and_names_other_issuers() -> None:
    """An issuer whose keys have never arrived is named, with the reason."""
    with pytest.raises(KeysUnavailable):
        await listed(USUAL).check()
    away = issuer(PublishedDocuments())
    with pytest.raises(KeysUnavailable):
        await away.verify(EC.sign(), 0)
    with pytest.raises(KeysUnavailable, match=rf"no keys of {ISSUER}: .*404"):
        await listed(away).check_foreign()


async def test_without_accounts_of_its_own_one_issuer_is_enough() -> None:
    """Its keys make the gateway ready; a second issuer without keys is still named."""
    here, away = issuer(publishing(EC)), issuer(PublishedDocuments(), issuer="https://other.example.com")
    every = listed(here, away, own=False)
    with pytest.raises(KeysUnavailable, match="the keys of no issuer"):
        await every.check()
    await here.verify(EC.sign(), 0)
    await every.check()
    with pytest.raises(KeysUnavailable, match="no keys of https://other") as named:
        await every.check_foreign()
    assert ISSUER not in str(named.value)
