"""Tokens of a real OpenID provider at the gateway, beside those of the users service, and faults of a provider."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import jwt
import pytest
import trustme

from services.gateway.api.access import rules
from services.gateway.auth.claims import person_id
from services.gateway.errors import AccountRequired, InsufficientScope, InvalidAccessToken, SessionRequired
from services.gateway.trusted_issuers import DISCOVERY
from shared.contracts.internal_api import AUDIT_PATH
from shared.errors import Forbidden, Unauthenticated
from shared.http.openapi import codes_of
from shared.http.tokens import CLOCK_SKEW_S, UserTokens, b64url
from shared.ids import new_id
from tests.support.gateway.api_keys import StoredKeys
from tests.support.gateway.issuers import IssuerSigner, jwks, metadata
from tests.support.gateway.stub import Behaviour, Exchange, StubService, cut_off, hang, not_http, replies, reset
from tests.support.gateway.world import Start, World
from tests.support.identity_provider import CLIENT, IdentityProvider, identity_provider
from tests.support.served import client, listening
from tests.support.sse import reading
from tests.support.waiting import eventually

AUTH0, SLASHED = "auth0|123", "a/b?c"
ACCOUNT = UUID("0197f0a0-0000-7000-8000-000000000001")
USERS: dict[str, dict[str, Any]] = {
    AUTH0: {"customer_no": 17},
    SLASHED: {},
    str(ACCOUNT): {},
    "helper": {"realm_access": {"roles": ["everyone", "ops"]}},
    "chief": {"realm_access": {"roles": ["root"]}},
}
OPERATORS = {"role": "realm_access.roles", "roles": {"ops": "support", "root": "admin"}}
ID = "019ac1d2-7a10-7c55-8a3e-5d1f0a6b2c94"


@pytest.fixture(scope="module")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[IdentityProvider]:
    async with identity_provider(USERS, tmp_path_factory.mktemp("provider")) as started:
        yield started


def settings(*issuers: str, **fields: Any) -> dict[str, Any]:
    """Return the settings of a gateway that trusts these issuers and soon tries again."""
    items = [{"issuer": issuer, "audience": CLIENT, **fields} for issuer in issuers]
    return {"issuers": json.dumps(items), "issuer_retry_max_s": 0.1, "jwks_unknown_key_pause_s": 0.0}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def status(world: World, token: str, path: str = "/v1/dashboard") -> tuple[int, str]:
    """Return the status of a request, and the code of its problem."""
    answer = await world.client.get(path, headers=bearer(token))
    return answer.status_code, answer.json().get("code", "")


async def checks(world: World) -> tuple[int, dict[str, str]]:
    answer = await world.client.get("/readyz")
    found: dict[str, str] = answer.json()["checks"]
    return answer.status_code, found


DECLARED = """
[services.users]
url = "http://replaced"
[services.orders]
url = "http://replaced"
[panels.user]
service = "users"
kind = "object"
timeout_ms = 5000
[panels.notes]
service = "orders"
get = "/notes/{user_id}"
kind = "object"
timeout_ms = 5000
"""
"""A panel of an own service, and one of a service that knows everybody."""


@pytest.fixture
def panels_file(tmp_path: Path) -> Path:
    path = tmp_path / "panels.toml"
    path.write_text(DECLARED)
    return path


def noted(world: World) -> list[str]:
    """The users whose notes were requested."""
    return [request.target.removeprefix("/notes/") for request in world.orders.received if "notes" in request.target]


async def test_both_kinds_of_tokens_are_accepted(start: Start, provider: IdentityProvider, panels_file: Path) -> None:
    """Each caller gets their own dashboard, an account also that of this system; the keys of the provider are
    discovered."""
    async with start(**settings(provider.issuer), panels_file=str(panels_file)) as world:
        account = str(new_id())
        for headers, user_id, panels in (
            (world.bearer(UUID(account)), account, ["user", "notes"]),
            (bearer(await provider.token(AUTH0)), AUTH0, ["notes"]),
        ):
            answer = await world.client.get("/v1/dashboard", headers=headers)
            assert (answer.status_code, list(answer.json()["panels"])) == (200, panels)
            assert answer.json()["user_id"] == user_id
        assert noted(world) == [account, "auth0%7C123"]
        assert [query.ids for query in world.users.queries("user")] == [[account]]
        assert (await checks(world))[1]["issuers"] == "ok"


@pytest.mark.parametrize("subject", [AUTH0, SLASHED, str(ACCOUNT)])
async def test_a_subject_may_be_any_text(
    start: Start, provider: IdentityProvider, subject: str, panels_file: Path
) -> None:
    """It is never an account of this system, even if it is the id of one. A token that was verified once is known to
    the fast path."""
    async with start(**settings(provider.issuer), panels_file=str(panels_file)) as world, listening(world.app) as port:
        headers = bearer(await provider.token(subject))
        user_id = str(person_id(provider.issuer, subject))
        async with client(base_url=f"http://127.0.0.1:{port}") as http:
            for _ in range(3):
                assert (await http.get("/v1/dashboard", headers=headers)).json()["user_id"] == subject
                known = world.gateway.authenticator.known(headers["Authorization"].encode())
                assert known is not None
                assert known.user_id == user_id != str(ACCOUNT)
        assert {unquote(each) for each in noted(world)} == {subject}
        assert world.users.queries("user") == []


async def test_the_plain_claims_are_remembered(start: Start, provider: IdentityProvider) -> None:
    """With the subject and the issuer, for what needs them later."""
    async with start(**settings(provider.issuer)) as world:
        token = await provider.token(AUTH0)
        await status(world, token)
        verified = world.gateway.authenticator.known(f"Bearer {token}".encode())
        assert verified is not None
        assert (verified.subject, verified.issuer) == (AUTH0, provider.issuer)
        assert (verified.claims["customer_no"], verified.claims["iss"]) == (17, provider.issuer)
        expires = jwt.decode(token, options={"verify_signature": False})["exp"] + CLOCK_SKEW_S
        assert (verified.caller.session_id, verified.expires) == (None, expires)


async def test_a_token_for_another_client_is_refused(start: Start, provider: IdentityProvider) -> None:
    """The provider signs tokens for all of its clients."""
    async with start(**settings(provider.issuer)) as world:
        assert await status(world, await provider.token(AUTH0, "another")) == (401, "invalid_access_token")


async def test_an_issuer_that_is_not_listed_is_refused(start: Start, provider: IdentityProvider) -> None:
    """Its tokens are like those of this system that a stranger has made."""
    async with start(**settings(f"{provider.issuer}/other", jwks=f"{provider.issuer}/jwks")) as world:
        await eventually(lambda: keys_known(world))
        assert await status(world, await provider.token(AUTH0)) == (401, "invalid_access_token")


def keys_known(world: World) -> bool:
    return all(keys.keys for keys in world.gateway.issuers.key_sets())


OPEN = {("GET", "/v1/dashboard"), ("GET", "/v1/dashboard/events"), ("GET", "/v1/users/{id}/dashboard")}
"""The routes for everyone with a valid token."""
REFUSALS = {
    error.code
    for error in (Unauthenticated, InvalidAccessToken, Forbidden, AccountRequired, InsufficientScope, SessionRequired)
}
"""What the gateway says about credentials."""
WITH_ACCOUNT = [rule for rule in rules() if rule.access == "user" and (rule.method, rule.path) not in OPEN]


async def test_what_belongs_to_an_account_needs_one(start: Start, provider: IdentityProvider) -> None:
    """Every such route is a 403 that says so, and no service receives the request."""
    async with start(**settings(provider.issuer)) as world:
        headers = bearer(await provider.token(AUTH0))
        assert len(WITH_ACCOUNT) > 30
        for rule in WITH_ACCOUNT:
            path = rule.path.format(id=ID, delivery_id=ID, name="example")
            answer = await world.client.request(rule.method, path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "account_required"), rule
            assert answer.json()["title"] == "This needs an account of this system"
        assert not world.users.asked + world.orders.asked + world.worker.asked
        assert await status(world, await provider.token(AUTH0), f"/v1/users/{ID}/dashboard") == (404, "user_not_found")
        assert await status(world, await provider.token(AUTH0), "/v1/admin/status") == (403, "forbidden")


async def test_the_document_has_the_refusals_that_callers_get(start: Start, provider: IdentityProvider) -> None:
    """Of each operation, the codes for callers without and with invalid credentials, of another issuer, without the
    role, and with an API key without the scope. A stream would not end: its unknown panel is refused."""
    async with start(**settings(provider.issuer)) as world:
        document = (await world.client.get("/openapi.json")).json()
        callers: list[dict[str, str]] = [
            {},
            bearer("invalid"),
            bearer(await provider.token(AUTH0)),
            world.bearer(),
            StoredKeys.at(world.users).add([]).headers,
        ]
        documented, found = {}, {}
        for path, item in document["paths"].items():
            for method, operation in item.items():
                name = f"{method.upper()} {path}"
                codes = set[str]().union(*(codes_of(each) or () for each in operation["responses"].values()))
                documented[name] = codes & REFUSALS
                url = path.format(id=ID, delivery_id=ID, job="email", name="example", key="x")
                if path == "/v1/dashboard/events":
                    url += "?panels=none"
                asked = [await world.client.request(method, url, headers=headers) for headers in callers]
                bodies = [answer.json() for answer in asked if answer.status_code in (401, 403)]
                found[name] = {body["code"] for body in bodies} & REFUSALS
        assert found == documented
        assert {"account_required"} < REFUSALS == set[str]().union(*found.values())


async def test_a_mapped_role_makes_an_operator(start: Start, provider: IdentityProvider) -> None:
    """They read and change what operators may, and are recorded by their derived id; they have no account either."""
    async with start(**settings(provider.issuer, **OPERATORS)) as world:
        helper, chief = [bearer(await provider.token(subject)) for subject in ("helper", "chief")]
        for path in ("/v1/admin/status", f"/v1/orders/{ID}", f"/v1/users/{ID}", f"/v1/users/{ID}/avatar"):
            assert (await world.client.get(path, headers=helper)).status_code == 200
        assert (await world.client.post(f"/v1/orders/{ID}/ship", headers=helper)).json()["code"] == "forbidden"
        assert (await world.client.post(f"/v1/orders/{ID}/ship", headers=chief)).status_code == 200
        recorded = world.users.last(AUDIT_PATH)
        assert recorded.values("X-User-Id") == [str(person_id(provider.issuer, "chief"))]
        assert recorded.values("X-User-Role") == ["admin"]
        assert recorded.values("X-Session-Id") == []
        for headers in (helper, chief):
            refused = await world.client.get("/v1/me", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "account_required")


async def test_without_a_mapping_a_claim_grants_nothing(start: Start, provider: IdentityProvider) -> None:
    """The same person is a user for a gateway that maps no roles."""
    async with start(**settings(provider.issuer)) as world:
        assert await status(world, await provider.token("chief"), "/v1/admin/status") == (403, "forbidden")


async def test_keys_are_rotated_without_a_restart(start: Start, provider: IdentityProvider) -> None:
    """A token of the new key is accepted at once, although it names no key; one of the old key is refused from then
    on, also if it was verified before. Tokens of this system are not affected."""
    async with start(**settings(provider.issuer)) as world:
        old = await provider.token(AUTH0)
        assert await status(world, old) == (200, "")
        await provider.rotate()
        assert await status(world, await provider.token(AUTH0)) == (200, "")
        assert await status(world, old) == (401, "invalid_access_token")
        assert (await world.client.get("/v1/me", headers=world.bearer())).status_code == 200


async def test_a_provider_that_is_down_at_the_start_affects_only_its_own_users(
    start: Start, provider: IdentityProvider
) -> None:
    """Their tokens are 503 until its keys have arrived. The gateway is ready and says what is missing."""
    token = await provider.token(AUTH0)
    await provider.link.cut()
    try:
        async with start(**settings(provider.issuer)) as world:
            assert await status(world, token) == (503, "keys_unavailable")
            assert (await world.client.get("/v1/me", headers=world.bearer())).status_code == 200
            ready, found = await checks(world)
            assert (ready, found["jwks"]) == (200, "ok")
            assert f"KeysUnavailable: no keys of {provider.issuer}: Unreachable" in found["issuers"]
            await provider.link.mend()

            async def accepted() -> bool:
                return await status(world, token) == (200, "")

            await eventually(accepted)
            assert (await checks(world))[1]["issuers"] == "ok"
    finally:
        await provider.link.mend()


async def test_a_provider_that_goes_down_later_is_not_missed(start: Start, provider: IdentityProvider) -> None:
    """Its keys stay in use, also for tokens that were not verified before."""
    async with start(**settings(provider.issuer)) as world:
        await eventually(lambda: keys_known(world))
        token = await provider.token(AUTH0)
        await provider.link.cut()
        try:
            [_, keys] = world.gateway.issuers.key_sets()
            await keys.look_again()
            assert keys.failure
            assert await status(world, token) == (200, "")
            assert (await checks(world))[1]["issuers"] == "ok"
        finally:
            await provider.link.mend()


async def test_a_gateway_may_have_no_accounts_of_its_own(start: Start, provider: IdentityProvider) -> None:
    """It is ready once the keys of one issuer have arrived, and reads no sessions of the users service."""
    token = await provider.token(AUTH0)
    own = UserTokens([b64url(bytes(range(32)))], 900).issue(new_id(), new_id(), "admin")
    await provider.link.cut()
    away = "http://127.0.0.1:1"
    try:
        async with start(jwks_url="", **settings(provider.issuer, away)) as world:
            ready, found = await checks(world)
            assert (ready, "no issuer" in found["jwks"]) == (503, True)
            assert "ended_sessions" not in found
            await provider.link.mend()

            async def is_ready() -> bool:
                return (await checks(world))[0] == 200

            await eventually(is_ready)
            found = (await checks(world))[1]
            assert away in found["issuers"]
            assert provider.issuer not in found["issuers"]
            assert await status(world, token) == (200, "")
            assert await status(world, own) == (401, "invalid_access_token")
            assert not [request for request in world.users.received if "revocations" in request.target]
    finally:
        await provider.link.mend()


async def test_a_live_stream_of_another_issuer(start: Start, provider: IdentityProvider) -> None:
    """It has the panels of its user, and ends when that user is revoked, whose tokens name no session."""
    async with start(**settings(provider.issuer)) as world, listening(world.app) as port:
        url = f"http://127.0.0.1:{port}/v1/dashboard/events"
        async with reading(url, bearer(await provider.token(AUTH0))) as stream:
            await stream.until("ready")
            await world.gateway.revocations.end_user(person_id(provider.issuer, AUTH0))
            assert (await stream.until("end")).data == {"reason": "session_ended"}


SIGNER = IssuerSigner.of("ES256")


def sound(url: str) -> dict[str, Behaviour]:
    return {DISCOVERY: replies(metadata(url, f"{url}/keys")), "/keys": replies(jwks(SIGNER.jwk()))}


async def redirected(exchange: Exchange) -> None:
    await exchange.reply(b"", 302, "Location: /keys\r\n")


FAULTS: dict[str, tuple[str, Behaviour]] = {
    "no metadata": (DISCOVERY, replies(b"{}", 404)),
    "metadata of another issuer": (DISCOVERY, replies(metadata("https://attacker.example.com", "http://x/keys"))),
    "a page instead of metadata": (DISCOVERY, replies(b"<html>")),
    "an error": ("/keys", replies(b"{}", 500)),
    "a redirect": ("/keys", redirected),
    "no keys": ("/keys", replies(b'{"keys": []}')),
    "too many keys": ("/keys", replies(jwks(SIGNER.jwk(), {"kid": "x" * 300_000}))),
    "not JSON": ("/keys", replies(b"keys")),
    "a reset": ("/keys", reset),
    "a cut-off answer": ("/keys", cut_off),
    "not HTTP": ("/keys", not_http),
    "metadata that never comes": (DISCOVERY, hang),
    "keys that never come": ("/keys", hang),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_faulty_provider_is_named_and_recovers(start: Start, fault: tuple[str, Behaviour]) -> None:
    """No key is known until the fault has gone: tokens are 503, readiness names the provider, and is 200."""
    short = {"issuer_timeout_s": 1.0} if fault[1] is hang else {}
    async with StubService().running() as issuer:
        issuer.behaviours |= sound(issuer.url) | dict([fault])
        async with start(**settings(issuer.url), **short) as world:
            token = SIGNER.sign(iss=issuer.url, aud=CLIENT)
            await eventually(lambda: any(keys.failure for keys in world.gateway.issuers.key_sets()))
            assert await status(world, token) == (503, "keys_unavailable")
            ready, found = await checks(world)
            assert (ready, issuer.url in found["issuers"]) == (200, True)
            issuer.behaviours |= sound(issuer.url)

            async def accepted() -> bool:
                return await status(world, token) == (200, "")

            await eventually(accepted)


async def test_forged_tokens_do_not_reach_a_provider(start: Start) -> None:
    """Any number of tokens that its keys have not signed cause no fetch so soon after the last."""
    async with StubService().running() as issuer:
        issuer.behaviours |= sound(issuer.url)
        told = settings(issuer.url) | {"jwks_unknown_key_pause_s": 300.0}
        async with start(**told) as world:
            await eventually(lambda: keys_known(world))
            before = len(issuer.received)
            for kid in ("first", "other", None):
                forged = IssuerSigner.of("ES256", kid).sign(iss=issuer.url, aud=CLIENT)
                assert await status(world, forged) == (401, "invalid_access_token")
            assert len(issuer.received) == before


async def test_the_certificate_of_a_provider_is_checked(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Keys come only over a connection to a host whose certificate the system trusts."""
    authority, stranger = trustme.CA(), trustme.CA()
    trusted = tmp_path / "trusted.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with AsyncExitStack() as stack:
        good, bad = [await stack.enter_async_context(over_tls(each)) for each in (authority, stranger)]
        async with start(**settings(good, bad)) as world:
            _, known, unknown = world.gateway.issuers.key_sets()
            await eventually(lambda: known.keys and unknown.failure)
            assert await status(world, SIGNER.sign(iss=good, aud=CLIENT)) == (200, "")
            assert await status(world, SIGNER.sign(iss=bad, aud=CLIENT)) == (503, "keys_unavailable")
            assert not unknown.keys


@asynccontextmanager
async def over_tls(authority: trustme.CA) -> AsyncIterator[str]:
    """Serve the metadata and the keys with a certificate of that authority; yield the issuer."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    documents: dict[str, bytes] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = documents[head.split(b" ")[1].decode()]
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "localhost", 0, ssl=context)
    async with server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        documents |= {DISCOVERY: metadata(url, f"{url}/keys"), "/keys": jwks(SIGNER.jwk())}
        yield url
