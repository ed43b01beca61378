"""API keys at the gateway: who is let in, how long, and what happens while the users service is down."""

import asyncio
import json
import time
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest

from services.gateway.auth import api_keys
from shared.clock import now
from shared.contracts.internal_api import REVOCATIONS_PATH
from shared.http.api_keys import LOOKUP_PATH, MEMORY_S, KeyScope, new_key
from shared.http.identity import SESSION_ID_HEADER, USER_ID_HEADER, USER_ROLE_HEADER
from shared.http.tokens import Role
from shared.ids import new_id
from tests.support.gateway.api_keys import Key, StoredKeys, lookups
from tests.support.gateway.stub import Behaviour, Exchange, hang, replies, reset
from tests.support.gateway.world import Start, World
from tests.support.later import move_clock
from tests.support.served import client, listening
from tests.support.sse import reading
from tests.support.waiting import eventually

EVENTS = "/v1/dashboard/events"
NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def keys(world: World) -> StoredKeys:
    return StoredKeys.at(world.users)


async def status(world: World, key: Key, path: str = "/v1/me", method: str = "GET") -> int:
    return (await world.client.request(method, path, headers=key.headers)).status_code


async def refused(world: World, key: Key) -> bool:
    return await status(world, key) == 401


async def test_a_key_acts_for_its_owner(world: World, keys: StoredKeys) -> None:
    """The service receives the owner's id and the key's instead of a session's, and never the key."""
    key = keys.add()
    assert await status(world, key) == 200
    request = world.users.last("/v1/me")
    assert request.values(USER_ID_HEADER) == [str(key.user_id)]
    assert request.values(USER_ROLE_HEADER) == ["user"]
    assert request.values(SESSION_ID_HEADER) == [str(key.id)]
    assert not [each for each in world.users.received if key.text in f"{each.target}{each.headers}{each.body!r}"]


async def test_concurrent_requests_share_one_lookup(world: World, keys: StoredKeys) -> None:
    """Later requests need none, whatever their route is."""
    key = keys.add()
    assert await asyncio.gather(*(status(world, key) for _ in range(20))) == [200] * 20
    assert await status(world, key, "/v1/dashboard") == 200
    assert lookups(world.users) == 1


async def test_a_key_with_a_typing_error_is_refused_without_a_lookup(world: World, keys: StoredKeys) -> None:
    """Like anything else that only begins like a key."""
    key = keys.add().text
    for wrong in (key[:-1] + ("0" if key[-1] != "0" else "1"), key[:-1], f"{key}0", "dsh_", key.swapcase()):
        answer = await world.client.get("/v1/me", headers={"Authorization": f"Bearer {wrong}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_access_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert lookups(world.users) == 0


async def test_an_unknown_key_is_looked_up_once(world: World, keys: StoredKeys) -> None:
    """It is 401 from then on; it counts as a request of a stranger."""
    unknown = Key(new_key(), new_id(), new_id())
    assert await asyncio.gather(*(status(world, unknown) for _ in range(5))) == [401] * 5
    assert await status(world, unknown, "/v1/dashboard") == 401
    assert lookups(world.users) == 1
    assert await status(world, keys.add()) == 200
    assert [each.path for each in world.users.asked] == ["/v1/me"]


async def test_unknown_keys_are_remembered_in_bounded_memory(
    world: World, keys: StoredKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten, and looked up again."""
    monkeypatch.setattr(api_keys, "MAX_UNKNOWN", 2)
    first, *others = [Key(new_key(), new_id(), new_id()) for _ in range(3)]
    for key in (first, *others):
        assert await refused(world, key)
    for key in others:
        assert await refused(world, key)
    assert lookups(world.users) == 3
    assert await refused(world, first)
    assert lookups(world.users) == 4
    assert not keys.rows


async def test_a_key_is_looked_up_again_after_a_minute(
    world: World, keys: StoredKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the users service does not know any more is refused then, although no gateway has been told."""
    key, removed = keys.add(), keys.add()
    for each in (key, removed):
        assert await status(world, each) == 200
    keys.remove(removed)
    assert await status(world, removed) == 200
    move_clock(monkeypatch, seconds=MEMORY_S + 1)
    assert (await status(world, key), await status(world, removed)) == (200, 401)
    assert lookups(world.users) == 4


async def test_a_key_ends_with_its_time(world: World, keys: StoredKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remembered key is not used after it has expired."""
    key = keys.add(expires_at=now() + timedelta(seconds=30))
    assert await status(world, key) == 200
    keys.remove(key)  # as the users service answers from then on
    move_clock(monkeypatch, seconds=31)
    assert await refused(world, key)


@pytest.mark.parametrize(
    "fault",
    [
        replies(b"{}", 503),
        replies(b"{}", 500),
        replies(b"{}", 404),
        replies(b'{"code": "unauthenticated"}', 401),
        replies(b"rubbish"),
        replies(b"{}"),
        replies(b'{"key": {"id": 1}}'),
        replies(b'{"key": null}' + b" " * 5000),
        reset,
    ],
    ids=["503", "500", "404", "401", "rubbish", "empty", "incomplete", "large", "reset"],
)
async def test_a_key_that_cannot_be_looked_up_is_a_503(world: World, keys: StoredKeys, fault: Behaviour) -> None:
    """A known key is used for up to a minute, and the other as soon as the users service answers again."""
    known, other = keys.add(), keys.add()
    assert await status(world, known) == 200
    world.users.behaviours[LOOKUP_PATH] = fault
    answers = await asyncio.gather(*(world.client.get("/v1/me", headers=other.headers) for _ in range(3)))
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
        assert answer.headers["Retry-After"]
    assert await status(world, known) == 200
    world.users.behaviours[LOOKUP_PATH] = keys
    assert await status(world, other) == 200


async def test_a_silent_users_service_is_a_503_in_time(start: Start) -> None:
    """After the timeout of a lookup, which includes waiting for other lookups."""
    async with start(api_key_timeout_s=0.1) as world:
        keys = StoredKeys.at(world.users)
        world.users.behaviours[LOOKUP_PATH] = hang
        several = [keys.add() for _ in range(api_keys.LOOKUPS_AT_ONCE + 2)]
        assert await asyncio.gather(*(status(world, key) for key in several)) == [503] * len(several)
        world.users.behaviours[LOOKUP_PATH] = keys

        async def is_found() -> bool:
            return await status(world, several[0]) == 200

        await eventually(is_found)  # on a busy machine a lookup may take longer than this timeout


async def test_a_key_is_not_used_beyond_a_minute_while_the_users_service_is_down(
    world: World, keys: StoredKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a 503 then, on every route."""
    key = keys.add()
    assert await status(world, key) == 200
    world.users.behaviours[LOOKUP_PATH] = reset
    move_clock(monkeypatch, seconds=MEMORY_S + 1)
    assert (await status(world, key), await status(world, key, "/v1/dashboard")) == (503, 503)


async def test_a_caller_who_leaves_does_not_end_the_lookup_of_others(world: World, keys: StoredKeys) -> None:
    """The lookup goes on, for whoever waits for it."""
    key, answered = keys.add(), asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await answered.wait()
        await keys(exchange)

    world.users.behaviours[LOOKUP_PATH] = late
    first = asyncio.create_task(status(world, key))
    await eventually(lambda: lookups(world.users) == 1)
    second = asyncio.create_task(status(world, key))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    answered.set()
    assert await second == 200
    assert lookups(world.users) == 1


async def test_a_request_beyond_the_scopes_names_the_missing_one(world: World, keys: StoredKeys) -> None:
    """403; HEAD is read. No service hears of it."""
    user = new_id()
    everything: set[KeyScope] = {"read", "write", "admin"}
    for method, path, needed in (
        ("GET", "/v1/orders", "read"),
        ("HEAD", "/v1/orders", "read"),
        ("GET", "/v1/dashboard", "read"),
        ("GET", EVENTS, "read"),
        ("GET", f"/v1/reports/{new_id()}/download", "read"),
        ("POST", "/v1/orders", "write"),
        ("DELETE", "/v1/me/avatar", "write"),
        ("GET", "/v1/users", "admin"),
        ("GET", "/v1/admin/status", "admin"),
        ("POST", "/v1/dashboards/batch", "admin"),
        ("POST", f"/v1/orders/{new_id()}/ship", "admin"),
    ):
        key = keys.add([scope for scope in everything if scope != needed], user, role="admin")
        answer = await world.client.request(method, path, headers=key.headers)
        assert answer.status_code == 403, (method, path)
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
        if method != "HEAD":
            assert (answer.json()["code"], f"the scope {needed}" in answer.json()["detail"]) == (
                "insufficient_scope",
                True,
            )
    assert not world.users.asked
    assert not world.orders.asked


async def test_a_key_that_may_not_read_is_kept_out_of_the_fast_path(world: World, keys: StoredKeys) -> None:
    """Also once it is known. One that may read is answered there."""
    writes, reads = keys.add(["write"]), keys.add(["read"])
    async with listening(world.app) as port, client() as http:
        url = f"http://127.0.0.1:{port}/v1/dashboard"
        assert await status(world, writes, "/v1/orders", "POST") == 200
        for _ in range(2):
            assert (await http.get(url, headers=writes.headers)).status_code == 403
            assert (await http.get(url, headers=reads.headers)).status_code == 200
    known = world.gateway.authenticator.known
    assert known(f"Bearer {writes.text}".encode()) is None
    assert known(f"Bearer {reads.text}".encode()) is not None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/me/api-keys"),
        ("GET", "/v1/me/api-keys"),
        ("DELETE", f"/v1/me/api-keys/{UUID(int=1)}"),
        ("GET", "/v1/me/sessions"),
        ("DELETE", "/v1/me/sessions"),
        ("DELETE", f"/v1/me/sessions/{UUID(int=1)}"),
        ("DELETE", "/v1/tokens"),
        ("PATCH", "/v1/me"),
        ("DELETE", "/v1/me"),
        ("POST", "/v1/me/export"),
    ],
)
async def test_a_key_cannot_take_over_the_account(world: World, keys: StoredKeys, method: str, path: str) -> None:
    """Whatever its scopes are: 403, no service hears of it, and nothing is revoked."""
    key = keys.add(["read", "write", "admin"], role="admin")
    answer = await world.client.request(method, path, headers=key.headers, json={"current_password": "x"})
    assert (answer.status_code, answer.json()["code"]) == (403, "session_required")
    assert not world.users.asked
    assert await status(world, key) == 200


async def test_a_key_has_its_owners_role_only_with_the_scope_admin(
    world: World, keys: StoredKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of an administrator without it acts as an ordinary user; with it, as the owner's role at present."""
    plain = keys.add(["read"], role="admin")
    assert await status(world, plain, f"/v1/users/{new_id()}") == 200
    assert world.users.last("/v1/users").values(USER_ROLE_HEADER) == ["user"]
    assert await status(world, plain, f"/v1/users/{new_id()}/dashboard") == 404
    roles: tuple[tuple[Role, int, int], ...] = (("admin", 200, 200), ("support", 200, 403), ("user", 403, 403))
    key = keys.add(["admin"], role="admin")
    for minutes, (role, reading_it, shipping) in enumerate(roles):
        keys.change_role(key, role)
        move_clock(monkeypatch, seconds=(MEMORY_S + 1) * min(minutes, 1))
        ship = f"/v1/orders/{new_id()}/ship"
        assert (await status(world, key, "/v1/admin/jobs"), await status(world, key, ship, "POST")) == (
            reading_it,
            shipping,
        ), role


async def test_requests_with_a_key_count_for_its_owner(start: Start) -> None:
    """Together with those of the owner's sessions and other keys."""
    async with start(limit_read="3/year") as world:
        keys, user = StoredKeys.at(world.users), new_id()
        one, other = keys.add(user_id=user), keys.add(user_id=user)
        assert [await status(world, one), await status(world, other)] == [200, 200]
        assert (await world.client.get("/v1/me", headers=world.bearer(user))).status_code == 200
        for key in (one, other):
            assert [await status(world, key), await status(world, key, "/v1/dashboard")] == [429, 429]
        assert await status(world, keys.add()) == 200


async def test_a_known_key_is_no_stranger(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What strangers at its address do does not keep it out, also when it has to be looked up again."""
    async with start(limit_anonymous="3/year") as world:
        keys = StoredKeys.at(world.users)
        key = keys.add()
        assert await status(world, key) == 200
        for _ in range(4):
            await world.client.get("/v1/me")
        assert (await world.client.get("/v1/me")).status_code == 429
        move_clock(monkeypatch, seconds=MEMORY_S + 1)
        assert await status(world, key) == 200
        assert await status(world, keys.add()) == 429


async def test_a_deleted_key_is_refused_on_every_gateway(start: Start) -> None:
    """At the gateway of the deletion at once, at every other in a moment, for as long as it could be remembered; a
    refused deletion ends nothing. Other keys and sessions of the owner go on."""
    async with start() as here, start() as elsewhere:
        keys, user = StoredKeys.at(here.users, elsewhere.users), new_id()
        key, other = keys.add(user_id=user), keys.add(user_id=user)
        for world in (here, elsewhere):
            assert (await status(world, key), await status(world, other)) == (200, 200)
        path = f"/v1/me/api-keys/{key.id}"
        here.users.behaviours[path] = replies(b'{"code": "api_key_not_found"}', 404)
        assert (await here.client.delete(path, headers=here.bearer(user))).status_code == 404
        assert await status(here, key) == 200
        here.users.behaviours[path] = replies(b"", 204)
        assert (await here.client.delete(path, headers=here.bearer(user))).status_code == 204
        assert await refused(here, key)
        await eventually(partial(refused, elsewhere, key))
        for world in (here, elsewhere):
            assert await status(world, other) == 200
            assert (await world.client.get("/v1/me", headers=world.bearer(user))).status_code == 200


async def test_an_ended_session_is_refused_at_once(world: World) -> None:
    """By its owner's list: its tokens are refused, those of the session that ends it are not."""
    user, session = new_id(), new_id()
    stolen, own = world.bearer(user, session=session), world.bearer(user)
    path = f"/v1/me/sessions/{session}"
    world.users.behaviours[path] = replies(b"", 204)
    assert (await world.client.delete(path, headers=own)).status_code == 204
    assert (await world.client.get("/v1/me", headers=stolen)).status_code == 401
    assert (await world.client.get("/v1/me", headers=own)).status_code == 200


async def test_all_other_sessions_are_refused_before_that_is_answered(world: World) -> None:
    """The users service names them."""
    user, session = new_id(), new_id()
    stolen, own = world.bearer(user, session=session), world.bearer(user)
    world.users.behaviours["/v1/me/sessions"] = replies(b"", 204)
    world.users.behaviours[REVOCATIONS_PATH] = _ended(session)
    assert (await world.client.delete("/v1/me/sessions", headers=own)).status_code == 204
    assert (await world.client.get("/v1/me", headers=stolen)).status_code == 401


def _ended(*sessions: UUID, users: tuple[UUID, ...] = ()) -> Behaviour:
    told = {"cursor": 1, "sessions": list(map(str, sessions)), "users": list(map(str, users))}
    return replies(json.dumps(told).encode())


@pytest.mark.parametrize("whose", ["key", "owner"])
async def test_a_stream_ends_with_its_key(start: Start, whose: str) -> None:
    """Also if the key was deleted elsewhere and Redis is down, or its owner deleted."""
    async with start(redis_url=NO_REDIS, stream_session_check_s=3600) as world, listening(world.app) as port:
        key = StoredKeys.at(world.users).add()
        async with reading(f"http://127.0.0.1:{port}{EVENTS}", key.headers) as stream:
            await stream.until("ready")
            gone = _ended(key.id) if whose == "key" else _ended(users=(key.user_id,))
            world.users.behaviours[REVOCATIONS_PATH] = gone
            assert (await stream.until("end")).data == {"reason": "session_ended"}


async def test_a_stream_outlives_the_memory_of_its_key(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends after the lifetime of an access token, or with the key."""
    async with start(stream_session_check_s=0.01, access_token_ttl_s=900) as world, listening(world.app) as port:
        keys = StoredKeys.at(world.users)
        url = f"http://127.0.0.1:{port}{EVENTS}"
        short = keys.add(expires_at=now() + timedelta(seconds=300))
        async with reading(url, keys.add().headers) as long, reading(url, short.headers) as brief:
            for stream in (long, brief):
                await stream.until("ready")
            with monkeypatch.context() as patch:
                move_clock(patch, seconds=MEMORY_S + 301)
                assert (await brief.until("end")).data == {"reason": "token_expired"}
                assert not long.of("end")
            move_clock(monkeypatch, seconds=901)
            assert (await long.until("end")).data == {"reason": "token_expired"}


async def test_a_key_that_is_deleted_during_its_lookup_is_refused(world: World, keys: StoredKeys) -> None:
    """Whichever arrives first, the answer that it is valid or the word of its deletion."""
    key, answered = keys.add(), asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await answered.wait()
        await keys(exchange)

    world.users.behaviours[LOOKUP_PATH] = late
    asking = asyncio.create_task(status(world, key))
    await eventually(lambda: lookups(world.users) == 1)
    await world.gateway.revocations.hear(key.id, "session")
    answered.set()
    assert await asking == 401


async def test_a_revocation_outlasts_the_memory_of_a_key(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if access tokens are valid for less than a minute."""
    async with start(access_token_ttl_s=1) as world:
        key = StoredKeys.at(world.users).add()
        assert await status(world, key) == 200
        await world.gateway.revocations.end_session(key.id)
        later = time.monotonic() + MEMORY_S
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: later)
            await world.gateway.revocations.end_session(new_id())  # which forgets what is old enough
        assert await refused(world, key)


async def test_the_page_names_its_browser(world: World) -> None:
    """So that the list of sessions shows it: at sign-in, which sends no other header of the browser."""
    pair = b'{"access_token": "a", "token_type": "bearer", "expires_in": 900, "refresh_token": "r"}'
    world.users.behaviours["/v1/tokens"] = replies(pair)
    body = {"email": "ada@example.com", "password": "x"}
    headers = {"User-Agent": "Mozilla/5.0 Firefox/141.0", "X-Other": "x"}
    assert (await world.client.post("/web/session", json=body, headers=headers)).status_code == 200
    sent = world.users.last("/v1/tokens")
    assert sent.values("User-Agent") == ["Mozilla/5.0 Firefox/141.0"]
    assert sent.values("X-Other") == []
