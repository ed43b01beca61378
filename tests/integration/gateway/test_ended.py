"""What the users service says has ended, counts no longer at any gateway, with or without Redis."""

import asyncio
import json
from functools import partial
from uuid import UUID

import pytest

from services.gateway.auth import revocations
from shared.contracts.internal_api import REVOCATIONS_PATH, SIGN_OUT
from shared.ids import new_id
from tests.support.gateway.stub import Behaviour, hang, replies, reset, trickle
from tests.support.gateway.world import Start, World
from tests.support.served import listening
from tests.support.sse import reading
from tests.support.waiting import eventually

SESSION = "/web/session"


def telling(*, sessions: tuple[UUID, ...] = (), users: tuple[UUID, ...] = (), cursor: int = 1) -> Behaviour:
    told = {"cursor": cursor, "sessions": list(map(str, sessions)), "users": list(map(str, users))}
    return replies(json.dumps(told).encode())


async def refused(world: World, headers: dict[str, str]) -> bool:
    return (await world.client.get("/v1/me", headers=headers)).status_code == 401


async def test_an_ended_session_is_refused_on_every_gateway(start: Start) -> None:
    """Whatever ended it: no gateway has, and Redis knows nothing of it. Other sessions of the user go on."""
    async with start(redis_url="redis://127.0.0.1:1/0") as one, start(redis_url="redis://127.0.0.1:1/0") as other:
        user_id, session = new_id(), new_id()
        for world in (one, other):
            headers, goes_on = world.bearer(user_id, session=session), world.bearer(user_id)
            assert not await refused(world, headers)
            world.users.behaviours[REVOCATIONS_PATH] = telling(sessions=(session,))
            await eventually(partial(refused, world, headers))
            assert not await refused(world, goes_on)


async def test_an_ended_user_is_refused_and_forgotten(world: World) -> None:
    """All sessions, and the panels that are kept of them."""
    user_id = new_id()
    first, second = world.bearer(user_id), world.bearer(user_id)
    await world.client.get("/v1/dashboard", headers=first)

    async def is_kept() -> bool:
        return bool(await world.redis.exists(f"lkg:user:{user_id}"))

    await eventually(is_kept)
    world.users.behaviours[REVOCATIONS_PATH] = telling(users=(user_id,))
    for headers in (first, second):
        await eventually(partial(refused, world, headers))

    async def is_forgotten() -> bool:
        return not await is_kept()

    await eventually(is_forgotten)


async def test_a_restart_after_redis_was_emptied_revives_nothing(start: Start) -> None:
    """A gateway knows before its first request what has ended."""
    async with start() as before:
        session = new_id()
        before.users.behaviours[REVOCATIONS_PATH] = telling(sessions=(session,))
        await before.redis.flushall()
        async with start(users_url=before.users.url) as after:
            assert await refused(after, after.bearer(session=session))


async def test_a_stream_ends_with_its_session(start: Start) -> None:
    """As soon as that is known, and not when streams are next looked at."""
    session = new_id()
    async with start(stream_session_check_s=3600) as world, listening(world.app) as port:
        url = f"http://127.0.0.1:{port}/v1/dashboard/events"
        async with reading(url, world.bearer(session=session)) as stream:
            await stream.until("ready")
            world.users.behaviours[REVOCATIONS_PATH] = telling(sessions=(session,))
            assert (await stream.until("end")).data == {"reason": "session_ended"}


async def test_each_reading_continues_where_the_last_ended(world: World) -> None:
    """By the cursor of the answer."""
    world.users.behaviours[REVOCATIONS_PATH] = telling(cursor=42)
    await eventually(lambda: any(request.target == f"{REVOCATIONS_PATH}?after=42" for request in world.users.received))


@pytest.mark.parametrize(
    "fault",
    [replies(b"{}", 503), replies(b"rubbish"), replies(b"{}"), reset, hang],
    ids=["503", "rubbish", "{}", "reset", "hang"],
)
async def test_a_reading_that_fails_is_made_up_for(
    world: World, fault: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is forgotten meanwhile, nobody is signed out, and the next reading begins at the same cursor."""
    monkeypatch.setattr(revocations, "TIMEOUT_S", 0.2)
    kept, later = new_id(), new_id()
    world.users.behaviours[REVOCATIONS_PATH] = telling(sessions=(kept,), cursor=7)
    gone, stays = world.bearer(session=kept), world.bearer(session=later)
    await eventually(partial(refused, world, gone))
    world.users.behaviours[REVOCATIONS_PATH] = fault
    before = len(world.users.received)
    await eventually(
        lambda: sum(request.target == f"{REVOCATIONS_PATH}?after=7" for request in world.users.received[before:]) > 1
    )
    assert await refused(world, gone)
    assert not await refused(world, stays)
    world.users.behaviours[REVOCATIONS_PATH] = telling(sessions=(later,), cursor=8)
    await eventually(partial(refused, world, stays))


async def test_a_change_of_the_password_ends_other_sessions_before_it_is_answered(world: World) -> None:
    """At the gateway that passes it on."""
    user_id, other = new_id(), new_id()
    stolen = world.bearer(user_id, session=other)
    world.users.behaviours[REVOCATIONS_PATH] = telling(sessions=(other,))
    assert (await world.client.patch("/v1/me", headers=world.bearer(user_id), json={"name": "A"})).status_code == 200
    assert await refused(world, stolen)


async def signed_in(world: World) -> None:
    pair = b'{"access_token": "a", "token_type": "bearer", "expires_in": 900, "refresh_token": "secret-1"}'
    world.users.behaviours["/v1/tokens"] = replies(pair)
    body = {"email": "ada@example.com", "password": "x"}
    assert (await world.client.post(SESSION, json=body)).status_code == 200


async def test_the_page_signs_out_by_its_cookie(start: Start) -> None:
    """Without an access token: the session's tokens are refused here at once and elsewhere soon; the cookie goes."""
    async with start() as here, start() as elsewhere:
        await signed_in(here)
        session = new_id()
        here.users.behaviours[SIGN_OUT] = replies(json.dumps({"session_id": str(session)}).encode())
        answer = await here.client.delete(SESSION)
        assert (answer.status_code, "Max-Age=0" in answer.headers["Set-Cookie"]) == (204, True)
        assert json.loads(here.users.last(SIGN_OUT).body) == {"refresh_token": "secret-1"}
        headers = here.bearer(session=session)
        assert await refused(here, headers)
        await eventually(partial(refused, elsewhere, headers))


async def test_a_cookie_of_no_session_just_goes(world: World) -> None:
    """And without a cookie nobody is asked."""
    assert (await world.client.delete(SESSION)).status_code == 204
    assert not world.users.asked
    await signed_in(world)
    world.users.behaviours[SIGN_OUT] = replies(b'{"session_id": null}')
    answer = await world.client.delete(SESSION)
    assert (answer.status_code, "Max-Age=0" in answer.headers["Set-Cookie"]) == (204, True)


@pytest.mark.parametrize(
    ("fault", "status"),
    [(replies(b"{}", 503), 503), (replies(b"{}", 401), 503), (reset, 504)],
    ids=["503", "401", "reset"],
)
async def test_a_session_that_cannot_be_ended_now_keeps_its_cookie(world: World, fault: Behaviour, status: int) -> None:
    """503, or 504 where it may have ended: the page tries again."""
    await signed_in(world)
    world.users.behaviours[SIGN_OUT] = fault
    answer = await world.client.delete(SESSION)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (status, False)
    world.users.behaviours[SIGN_OUT] = replies(b'{"session_id": null}')
    assert (await world.client.delete(SESSION)).status_code == 204


async def test_the_download_of_a_report_ends_with_its_session(world: World) -> None:
    """The connection is reset, and the services are asked no further."""
    session = new_id()
    begin_downloads(world)
    (token,) = world.bearer(session=session).values()
    request = f"GET /v1/reports/{new_id()}/download"
    async with listening(world.app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{request} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"  "), 45)
        world.users.behaviours[REVOCATIONS_PATH] = telling(sessions=(session,))
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 45)
        writer.close()
    await eventually(lambda: world.orders.active == 0)


def begin_downloads(world: World) -> None:
    """Downloads of orders that do not come to an end."""
    world.orders.behaviours["/internal/reports/orders"] = trickle
    report = {"id": str(new_id()), "kind": "orders", "from": "2026-01-01", "to": "2026-01-02"}
    world.worker.behaviours["*"] = replies(json.dumps(report).encode())
