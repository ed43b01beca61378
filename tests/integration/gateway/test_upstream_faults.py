"""Failing services: the dashboard is partial, in time, and says so."""

import asyncio
import time

import pytest

from shared.ids import new_id
from tests.support.backends import RedisBackend
from tests.support.gateway import stub
from tests.support.gateway.stub import PANEL_DATA, Behaviour, replies
from tests.support.gateway.world import Start, World
from tests.support.waiting import eventually

IN_TIME_S = 45
"""Much less than the default timeouts of a gateway in these tests."""


def _items(user_id: object, panel: bytes) -> bytes:
    return b'{"items": {"%s": %s}, "missing": []}' % (str(user_id).encode(), panel)


FAULTS: list[tuple[str, Behaviour, str]] = [
    ("hangs", stub.hang, "timeout"),
    ("trickles", stub.trickle, "timeout"),
    ("resets", stub.reset, "bad_response"),
    ("breaks off", stub.cut_off, "bad_response"),
    ("speaks no HTTP", stub.not_http, "bad_response"),
    ("sends no JSON", replies(b"<html>"), "bad_response"),
    ("sends another shape", replies(b"[1, 2]"), "bad_response"),
    ("sends deep nesting", replies(b'{"items":' + b"[" * 100_000), "bad_response"),
    ("answers 500", replies(b"{}", 500), "bad_response"),
    ("answers 401", replies(b"{}", 401), "bad_response"),
    ("redirects", replies(b"{}", 302), "bad_response"),
    ("answers for another user", replies(_items(new_id(), b"[]")), "bad_response"),
    ("knows no user", replies(b'{"items": {}, "missing": []}'), "bad_response"),
    ("sends too much", replies(_items(new_id(), b"[" + b" " * 2_000_000 + b"]")), "bad_response"),
]


@pytest.mark.parametrize(("behaviour", "code"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
async def test_one_bad_service_costs_its_panel_only(start: Start, behaviour: Behaviour, code: str) -> None:
    """All other panels are fresh, and the bad one has its error, at its timeout if it never ends."""
    timeouts = {"orders": 0.2} if code == "timeout" else {}
    async with start(timeouts) as world:
        world.orders.behaviours["orders"] = behaviour
        async with asyncio.timeout(IN_TIME_S):
            response = await world.client.get("/v1/dashboard", headers=world.bearer())
    assert response.status_code == 200
    assert response.headers["Dashboard-Complete"] == "false"
    panels = response.json()["panels"]
    expected = {"status": "unavailable", "data": None, "error": {"code": code, "retryable": True}}
    assert panels.pop("orders") == expected
    assert {panel["status"] for panel in panels.values()} == {"fresh"}


@pytest.mark.parametrize("panel", [b"{}", b"5", b"null", b'"[]"'])
async def test_a_panel_of_the_wrong_type(world: World, panel: bytes) -> None:
    """A value that is not a list is not a list of orders."""
    user_id = new_id()
    world.orders.behaviours["orders"] = replies(_items(user_id, panel))
    response = await world.client.get("/v1/dashboard", headers=world.bearer(user_id))
    assert response.json()["panels"]["orders"]["error"]["code"] == "bad_response"


async def test_bytes_that_are_no_utf8_are_not_spliced_in(world: World) -> None:
    """A panel with invalid text cannot make the whole response invalid."""
    user_id = new_id()
    world.orders.behaviours["orders"] = replies(_items(user_id, b'["\xff"]'))
    response = await world.client.get("/v1/dashboard", headers=world.bearer(user_id))
    assert response.json()["panels"]["orders"]["error"]["code"] == "bad_response"


async def test_a_service_that_is_away(start: Start) -> None:
    """A refused connection is `connect`."""
    async with start(orders_url="http://127.0.0.1:1") as world:
        response = await world.client.get("/v1/dashboard", headers=world.bearer())
        assert response.json()["panels"]["orders"]["error"]["code"] == "connect"


async def test_the_next_replica_is_asked_when_one_is_away(start: Start) -> None:
    """With several base URLs, one that refuses connections costs only the attempt."""
    async with stub.StubService().running() as replica, start(orders_url=f"http://127.0.0.1:1,{replica.url}") as world:
        for _ in range(4):
            response = await world.client.get("/v1/dashboard", headers=world.bearer())
            assert response.json()["complete"]


async def test_replicas_take_turns(start: Start) -> None:
    """Requests are spread over all base URLs."""
    replicas = stub.StubService(), stub.StubService()
    async with (
        replicas[0].running() as one,
        replicas[1].running() as two,
        start(orders_url=f"{one.url},{two.url}") as world,
    ):
        for _ in range(10):
            await world.client.get("/v1/dashboard", headers=world.bearer())
        assert abs(len(one.asked) - len(two.asked)) <= 1


async def test_what_was_known_last_is_shown_as_stale(world: World) -> None:
    """After a first success a failing panel is stale, with the true age of its data."""
    user_id = new_id()
    headers = world.bearer(user_id)
    began = time.time()
    await world.client.get("/v1/dashboard", headers=headers)
    fetched = time.time()
    await eventually(lambda: _is_stored(world, f"lkg:orders:{user_id}"))
    world.orders.behaviours["orders"] = replies(b"{}", 500)
    await eventually(lambda: time.time() > fetched + 0.05)
    asked = time.time()
    response = await world.client.get("/v1/dashboard", headers=headers)
    shown = time.time()
    panel = response.json()["panels"]["orders"]
    assert (panel["status"], panel["data"]) == ("stale", PANEL_DATA["orders"])
    assert panel["error"] == {"code": "bad_response", "retryable": True}
    assert (asked - fetched) * 1000 - 2 <= panel["age_ms"] <= (shown - began) * 1000 + 2
    assert response.headers["Dashboard-Complete"] == "false"


async def _is_stored(world: World, key: str) -> bool:
    return bool(await world.redis.exists(key))


async def test_stale_is_found_even_when_the_whole_budget_was_spent(world: World) -> None:
    """A hanging service leaves enough of a short budget to read the last known good value."""
    user_id = new_id()
    headers = world.bearer(user_id)
    await world.client.get("/v1/dashboard", headers=headers)
    await eventually(lambda: _is_stored(world, f"lkg:orders:{user_id}"))
    world.orders.behaviours["orders"] = stub.hang

    async def stale() -> bool:
        """Too little time may be left once on a busy machine."""
        answer = (await world.client.get("/v1/dashboard?budget_ms=500", headers=headers)).json()
        return "panels" in answer and answer["panels"]["orders"]["status"] == "stale"

    await eventually(stale)


async def test_nothing_to_show(world: World) -> None:
    """If no panel has data, the response is 503 with Retry-After."""
    for service in (world.users, world.orders, world.worker):
        service.behaviours |= dict.fromkeys(PANEL_DATA, replies(b"{}", 500))
    response = await world.client.get("/v1/dashboard", headers=world.bearer())
    assert (response.status_code, response.json()["code"]) == (503, "no_panel_available")
    assert response.headers["Retry-After"]


async def test_redis_away(start: Start) -> None:
    """Without Redis dashboards work, but nothing is stale: a failing panel is unavailable."""
    async with start(redis_url="redis://127.0.0.1:1/0") as world:
        headers = world.bearer()
        assert (await world.client.get("/v1/dashboard", headers=headers)).json()["complete"]
        world.orders.behaviours["orders"] = replies(b"{}", 500)
        response = await world.client.get("/v1/dashboard", headers=headers)
        assert response.json()["panels"]["orders"]["status"] == "unavailable"
        ready = await world.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")


async def test_redis_that_hangs(start: Start) -> None:
    """A Redis that accepts connections without responding costs each request its small timeout, not the dashboard."""
    async with stub.StubService().running() as silent:
        silent.behaviours["*"] = stub.hang
        async with start(redis_url=f"redis://127.0.0.1:{silent.port}/0", redis_timeout_s=0.05) as world:
            world.orders.behaviours["orders"] = replies(b"{}", 500)
            async with asyncio.timeout(IN_TIME_S):
                response = await world.client.get("/v1/dashboard", headers=world.bearer())
            assert response.json()["panels"]["user"]["status"] == "fresh"


async def test_a_flushed_or_foreign_value_in_redis(world: World) -> None:
    """A foreign value counts as missing."""
    user_id = new_id()
    world.orders.behaviours["orders"] = replies(b"{}", 500)
    await world.redis.set(f"lkg:orders:{user_id}", b"garbage")
    response = await world.client.get("/v1/dashboard", headers=world.bearer(user_id))
    assert response.json()["panels"]["orders"]["status"] == "unavailable"


async def test_redis_restarted(start: Start, redis: RedisBackend) -> None:
    """After a restart of Redis the gateway reconnects by itself."""
    async with start(redis_write_timeout_s=0.3) as world:
        await asyncio.to_thread(redis.restart)
        user_id = new_id()
        headers = world.bearer(user_id)

        async def remembered() -> bool:
            await world.client.get("/v1/dashboard", headers=headers)
            return await _is_stored(world, f"lkg:orders:{user_id}")

        await eventually(remembered)
