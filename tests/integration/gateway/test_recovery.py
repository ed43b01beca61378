"""Verification of addresses and resets of passwords through the gateway."""

import asyncio
import json
import random
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.contracts.internal_api import REVOCATIONS_PATH
from shared.http.identity import SESSION_ID_HEADER, USER_ID_HEADER
from shared.http.tokens import UserTokens
from shared.ids import new_id
from tests.support.gateway.stub import Behaviour, replies
from tests.support.gateway.world import SEED, Start, World
from tests.support.waiting import eventually

VERIFY, RESEND = "/v1/email-verifications", "/v1/email-verifications/resend"
RESETS, CONFIRM = "/v1/password-resets", "/v1/password-resets/confirm"
TOKEN = {"token": "x"}


def ended(*sessions: UUID) -> Behaviour:
    return replies(json.dumps({"cursor": 1, "sessions": list(map(str, sessions)), "users": []}).encode())


async def refused(world: World, headers: dict[str, str]) -> bool:
    return (await world.client.get("/v1/me", headers=headers)).status_code == 401


@pytest.mark.parametrize("path", [VERIFY, CONFIRM])
async def test_what_a_link_ends_is_refused_before_it_is_answered(world: World, path: str) -> None:
    """Without a session of the person who opens the link."""
    world.users.behaviours[path] = replies(b"", 204)
    session = new_id()
    stolen = world.bearer(session=session)
    assert not await refused(world, stolen)
    world.users.behaviours[REVOCATIONS_PATH] = ended(session)
    assert (await world.client.post(path, json=TOKEN)).status_code == 204
    assert await refused(world, stolen)


async def test_a_suspension_ends_sessions_before_it_is_answered(world: World) -> None:
    """On the gateway of the administrator, and on the others within a second."""
    user_id, session = new_id(), new_id()
    path = f"/v1/admin/users/{user_id}/suspend"
    world.users.behaviours[path] = replies(b"", 204)
    held = world.bearer(user_id, session=session)
    assert not await refused(world, held)
    world.users.behaviours[REVOCATIONS_PATH] = ended(session)
    assert (await world.client.post(path, headers=world.bearer(role="admin"))).status_code == 204
    assert await refused(world, held)


async def test_every_gateway_learns_of_it(start: Start) -> None:
    async with start() as one, start() as other:
        session = new_id()
        one.users.behaviours[VERIFY] = replies(b"", 204)
        held = [world.bearer(session=session) for world in (one, other)]
        for world in (one, other):
            world.users.behaviours[REVOCATIONS_PATH] = ended(session)
        assert (await one.client.post(VERIFY, json=TOKEN)).status_code == 204
        await eventually(partial(refused, other, held[1]))


async def test_the_service_learns_whose_session_sends_a_verification(world: World) -> None:
    """If the request has a valid token. Any other request is anonymous, and identity headers of a client are not
    passed on."""
    world.users.behaviours[VERIFY] = replies(b"", 204)
    user_id, session = new_id(), new_id()
    expired = UserTokens([SEED], ttl_s=-3600).issue(user_id, session, "user")
    requests: list[tuple[dict[str, str], list[str]]] = [
        (world.bearer(user_id, session=session), [str(user_id)]),
        ({}, []),
        ({"Authorization": f"Bearer {expired}"}, []),
        ({"Authorization": "Bearer nonsense"}, []),
        ({"Authorization": "Basic YTpi"}, []),
        ({USER_ID_HEADER: str(user_id), SESSION_ID_HEADER: str(session)}, []),
    ]
    for headers, named in requests:
        assert (await world.client.post(VERIFY, headers=headers, json=TOKEN)).status_code == 204
        assert world.users.last(VERIFY).values(USER_ID_HEADER) == named
        assert world.users.last(VERIFY).values(SESSION_ID_HEADER) == ([str(session)] if named else [])


@pytest.mark.parametrize("path", [RESETS, CONFIRM])
async def test_a_reset_is_anonymous(world: World, path: str) -> None:
    """Whoever is signed in."""
    body = {"email": "ann@example.com"} if path == RESETS else TOKEN
    assert (await world.client.post(path, headers=world.bearer(), json=body)).status_code == 200
    assert world.users.last(path).values(USER_ID_HEADER) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [(VERIFY, TOKEN), (RESEND, {}), (CONFIRM, TOKEN), (RESETS, {"email": "ann@example.com"})],
)
async def test_attempts_are_counted_by_address(start: Start, path: str, body: dict[str, str]) -> None:
    """All of them together, whatever they are answered, and whatever the client adds to the header of a proxy.
    Registrations are counted separately."""
    async with start(limit_registration="2/year", trusted_proxies="127.0.0.0/8") as world:
        client = somewhere()
        headers = world.bearer() | {"X-Forwarded-For": client}
        for first in (VERIFY, CONFIRM):
            assert (await world.client.post(first, json=TOKEN, headers=headers)).status_code == 200
        limited = await world.client.post(
            path, json=body, headers=headers | {"X-Forwarded-For": f"192.0.2.9, {client}"}
        )
        assert (limited.status_code, limited.json()["code"]) == (429, "rate_limited")
        assert limited.headers["RateLimit"].startswith('"recovery";r=0')
        assert int(limited.headers["Retry-After"]) > 0
        assert (await world.client.post("/v1/users", json={}, headers=headers)).status_code == 200


def somewhere() -> str:
    """Return an address that no other test uses."""
    return f"2001:db8:{':'.join(f'{part:x}' for part in random.choices(range(1, 65535), k=6))}"


async def test_resets_are_counted_by_account(start: Start) -> None:
    """However the address is written, from any client, at any gateway, and whether or not it has an account: the
    gateway does not know. Others are not affected, and neither are sign-ins."""
    many: dict[str, Any] = {"limit_login_account": "3/year", "limit_registration": "", "trusted_proxies": "127.0.0.0/8"}
    async with start(**many) as one, start(**many) as other:
        for world in (one, other):
            world.users.behaviours[RESETS] = replies(b"", 202)
        name = uuid4().hex
        spellings = [f"{name}@example.com", f"{name.upper()}@Example.com", f"{name}@EXAMPLE.com", f"{name}@example.com"]
        codes = []
        for number, (world, email) in enumerate(zip((one, other, one, other), spellings, strict=True)):
            headers = {"X-Forwarded-For": f"192.0.2.{number}"}
            codes.append((await world.client.post(RESETS, json={"email": email}, headers=headers)).status_code)
        assert codes == [202, 202, 202, 429]
        assert (await one.client.post(RESETS, json={"email": f"bob-{name}@example.com"})).status_code == 202
        form = {"username": spellings[0], "password": "x"}
        assert (await one.client.post("/v1/tokens", data=form)).status_code == 200


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff\xfe{\x00}\x00", b"[" * 9000, b""])
async def test_a_reset_that_cannot_be_counted_is_refused(world: World, body: bytes) -> None:
    """It does not reach the service."""
    answer = await world.client.post(RESETS, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")
    assert not world.users.asked


async def test_the_body_of_a_reset_reaches_the_service_unchanged(world: World) -> None:
    body = {"email": "ann@example.com"}
    await asyncio.gather(*(world.client.post(RESETS, json=body) for _ in range(3)))
    assert json.loads(world.users.last(RESETS).body) == body


@pytest.mark.parametrize("what", ["suspend", "unsuspend", "verify"])
async def test_what_an_administrator_does_with_an_account_is_recorded_before(world: World, what: str) -> None:
    """With the account; without the entry it is not done."""
    user_id = new_id()
    path = f"/v1/admin/users/{user_id}/{what}"
    world.users.behaviours["/internal/audit"] = replies(b"{}", 503)
    admin = world.bearer(role="admin")
    assert (await world.client.post(path, headers=admin)).status_code == 503
    world.users.behaviours["/internal/audit"] = replies(b"", 204)
    assert (await world.client.post(path, headers=admin)).status_code == 200
    entry = json.loads(world.users.last("/internal/audit").body)
    assert (entry["action"], entry["subject_id"]) == (f"POST /v1/admin/users/{{id}}/{what}", str(user_id))
    for role in ("user", "support"):
        assert (await world.client.post(path, headers=world.bearer(role=role))).status_code == 403
