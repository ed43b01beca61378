"""Panels kept in memory, with a real broker: what has changed is not served any more, and what is unsure neither."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from shared.contracts import topology
from shared.ids import new_id
from tests.support.backends import RabbitBackend
from tests.support.gateway.stub import PANEL_DATA, Exchange, StubService, hang, replies
from tests.support.gateway.world import Start, World
from tests.support.link import Link
from tests.support.waiting import eventually

PANELS = tuple(PANEL_DATA)


@pytest.fixture
async def channel(rabbitmq: RabbitBackend) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        await topology.declare(channel)
        yield channel


async def _publish(channel: AbstractChannel, kind: str, user_id: UUID | str) -> None:
    exchange = await channel.get_exchange(topology.EVENTS)
    await exchange.publish(aio_pika.Message(b"{}", headers={"subject": str(user_id), "type": kind}), kind)


async def _hint(channel: AbstractChannel, user_id: UUID, *panels: str) -> None:
    exchange = await channel.get_exchange(topology.LIVE)
    body = json.dumps({"user_id": str(user_id), "panels": panels}).encode()
    await exchange.publish(aio_pika.Message(body), "hint")


async def _connected(world: World) -> None:
    await eventually(lambda: world.gateway.cache.enabled)


async def _read(world: World, user_id: UUID, **headers: str) -> dict[str, Any]:
    response = await world.client.get("/v1/dashboard", headers=world.bearer(user_id) | headers)
    panels: dict[str, Any] = response.json()["panels"]
    return panels


def _kept(world: World, user_id: UUID) -> set[str]:
    return {panel for panel in PANELS if world.gateway.cache.get(panel, str(user_id))}


def _asked(service: StubService, panel: str) -> int:
    return len(service.queries(panel))


def _shows(service: StubService, panel: str, data: object) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply_items({panel: dict.fromkeys(exchange.request.ids, data)})

    service.behaviours[panel] = answer


async def test_the_second_dashboard_asks_nobody(start: Start, rabbitmq: RabbitBackend) -> None:
    """It is fresh and complete, says how old its panels are, and where they came from."""
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as world:
        await _connected(world)
        user_id = new_id()
        first = await _read(world, user_id)
        response = await world.client.get("/v1/dashboard", headers=world.bearer(user_id))
        second = response.json()["panels"]
        assert {panel["status"] for panel in second.values()} == {"fresh"}
        assert response.headers["Dashboard-Complete"] == "true"
        assert response.headers["Server-Timing"].count("desc=cache") == len(PANELS)
        assert [panel["data"] for panel in first.values()] == [panel["data"] for panel in second.values()]
        assert _asked(world.orders, "orders") == 1
        ready = (await world.client.get("/readyz")).json()
        assert ready["checks"]["rabbitmq"] == "ok"


async def test_the_age_of_a_panel_is_true(start: Start, rabbitmq: RabbitBackend) -> None:
    """A panel from memory is as old as its question."""
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as world:
        await _connected(world)
        user_id = new_id()
        began = asyncio.get_running_loop().time()
        await _read(world, user_id)
        answered = asyncio.get_running_loop().time()
        await eventually(lambda: asyncio.get_running_loop().time() > answered + 0.05)
        asked = asyncio.get_running_loop().time()
        panels = await _read(world, user_id)
        shown = asyncio.get_running_loop().time()
        assert (asked - answered) * 1000 - 1 <= panels["orders"]["age_ms"] <= (shown - began) * 1000 + 1


async def test_an_event_drops_exactly_what_it_touches(
    start: Start, rabbitmq: RabbitBackend, channel: AbstractChannel
) -> None:
    """Only that user's, only those panels; a hint names its own, a deletion means all."""
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as world:
        await _connected(world)
        ada, bob = new_id(), new_id()
        await _read(world, ada)
        await _read(world, bob)
        await _publish(channel, "order.created", ada)
        await eventually(lambda: _kept(world, ada) == {"user", "notifications", "analytics"})
        await _hint(channel, ada, "analytics", "notifications")
        await eventually(lambda: _kept(world, ada) == {"user"})
        await _publish(channel, "user.updated", ada)
        await eventually(lambda: not _kept(world, ada))
        assert _kept(world, bob) == set(PANELS)
        await _publish(channel, "user.deleted", bob)
        await eventually(lambda: not _kept(world, bob))


async def test_what_cannot_be_read_drops_everything(
    start: Start, rabbitmq: RabbitBackend, channel: AbstractChannel
) -> None:
    """An event that does not say whose it is may be anybody's; the feed goes on."""
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as world:
        await _connected(world)
        user_id = new_id()
        await _read(world, user_id)
        await _publish(channel, "order.created", "nobody")
        await eventually(lambda: not _kept(world, user_id))
        await _read(world, user_id)
        await _publish(channel, "order.created", user_id)
        await eventually(lambda: _kept(world, user_id) == {"user", "notifications", "analytics"})


@pytest.mark.parametrize("readable", [True, False], ids=["event", "unreadable"])
async def test_a_read_that_began_before_an_event_is_not_kept(
    start: Start, rabbitmq: RabbitBackend, channel: AbstractChannel, *, readable: bool
) -> None:
    """Its caller gets it; the next caller asks again and sees the change, also where nobody can say what changed."""
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as world:
        await _connected(world)
        user_id, marker = new_id(), new_id()
        await _read(world, marker)
        asked, go = asyncio.Event(), asyncio.Event()

        async def slow(exchange: Exchange) -> None:
            asked.set()
            await go.wait()
            await exchange.reply_items({"orders": {str(user_id): ["before"]}})

        world.orders.behaviours["orders"] = slow
        reading = asyncio.create_task(_read(world, user_id))
        await asked.wait()
        await _publish(channel, "order.created", user_id if readable else "nobody")
        await _publish(channel, "order.created", marker)
        await eventually(lambda: "orders" not in _kept(world, marker))
        _shows(world.orders, "orders", ["after"])
        joined = asyncio.create_task(_read(world, user_id))
        assert (await joined)["orders"]["data"] == ["after"]
        go.set()
        await reading
        assert (await _read(world, user_id))["orders"]["data"] == ["after"]


async def test_without_the_feed_nothing_comes_from_memory(
    start: Start, rabbitmq: RabbitBackend, channel: AbstractChannel
) -> None:
    """When the feed is lost every dashboard is read from the services, and readiness says so. When it is back, which it
    is by itself, memory serves and events drop panels again."""
    async with (
        Link.to(rabbitmq.url) as link,
        start(rabbitmq_url=link.url, feed_reconnect_s=0.05) as world,
    ):
        await _connected(world)
        user_id = new_id()
        await _read(world, user_id)
        await link.cut()
        await eventually(lambda: not world.gateway.cache.enabled)
        assert not _kept(world, user_id)
        for _ in range(2):
            assert (await _read(world, user_id))["orders"]["status"] == "fresh"
        assert _asked(world.orders, "orders") == 3
        ready = await world.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        await link.mend()
        await _connected(world)
        await _read(world, user_id)
        await _read(world, user_id)
        assert _asked(world.orders, "orders") == 4
        await _publish(channel, "order.created", user_id)
        await eventually(lambda: "orders" not in _kept(world, user_id))
        assert world.app.state.background.failure is None


async def test_a_consumer_that_the_broker_cancels_is_a_feed_lost(start: Start, rabbitmq: RabbitBackend) -> None:
    """A queue that is deleted under the feed looks well from afar; it is built anew."""
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as world:
        await _connected(world)
        user_id = new_id()
        await _read(world, user_id)
        await asyncio.to_thread(rabbitmq.delete_queues)
        await eventually(lambda: not _kept(world, user_id))
        await _connected(world)
        async with await aio_pika.connect(rabbitmq.url) as connection:
            await _read(world, user_id)
            await _publish(await connection.channel(), "user.updated", user_id)
            await eventually(lambda: "user" not in _kept(world, user_id))


async def test_a_change_through_one_gateway_shows_in_the_other(
    start: Start, rabbitmq: RabbitBackend, channel: AbstractChannel
) -> None:
    """Once its event has arrived there."""
    async with (
        start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as here,
        start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as there,
    ):
        await _connected(here)
        await _connected(there)
        user_id = new_id()
        await _read(there, user_id)
        there.orders.behaviours["/v1/orders"] = replies(b"{}", 201)
        assert (await here.client.post("/v1/orders", headers=here.bearer(user_id))).status_code == 200
        _shows(there.orders, "orders", ["new"])
        await _publish(channel, "order.created", user_id)

        async def shown() -> bool:
            return bool((await _read(there, user_id))["orders"]["data"] == ["new"])

        await eventually(shown)


WRITES = [
    ("POST", "/v1/orders", "orders"),
    ("POST", f"/v1/orders/{new_id()}/pay", "orders"),
    ("POST", f"/v1/orders/{new_id()}/cancel", "orders"),
    ("PATCH", "/v1/me", "user"),
    ("POST", f"/v1/notifications/{new_id()}/read", "notifications"),
]


@pytest.mark.parametrize(("method", "path", "panel"), WRITES, ids=[f"{write[0]} {write[1][:12]}" for write in WRITES])
async def test_a_client_reads_its_own_writes(
    start: Start, rabbitmq: RabbitBackend, method: str, path: str, panel: str
) -> None:
    """Though no event ever comes: what a write touches is read anew as soon as it is answered, the rest is not."""
    async with Link.to(rabbitmq.url) as link, start(rabbitmq_url=link.url) as world:
        await _connected(world)
        user_id, other = new_id(), new_id()
        await _read(world, user_id)
        await _read(world, other)
        link.silence()
        assert (await world.client.request(method, path, headers=world.bearer(user_id))).status_code == 200
        assert _kept(world, user_id) == set(PANELS) - {panel}
        assert _kept(world, other) == set(PANELS)
        assert world.gateway.cache.enabled
        await link.cut()  # or the end would wait for the broker


async def test_a_write_that_was_refused_drops_nothing(start: Start, rabbitmq: RabbitBackend) -> None:
    """The service says no: everything is as it was."""
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as world:
        await _connected(world)
        user_id = new_id()
        await _read(world, user_id)
        world.orders.behaviours["/v1/orders"] = replies(b"{}", 422)
        await world.client.post("/v1/orders", headers=world.bearer(user_id))
        assert _kept(world, user_id) == set(PANELS)


@pytest.mark.parametrize("asked", ["no-cache", "max-age=0"])
async def test_a_caller_who_wants_it_anew_gets_it_anew(start: Start, rabbitmq: RabbitBackend, asked: str) -> None:
    """And what was read for them serves the next."""
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as world:
        await _connected(world)
        user_id = new_id()
        await _read(world, user_id)
        _shows(world.orders, "orders", ["new"])
        assert (await _read(world, user_id))["orders"]["data"] != ["new"]
        assert (await _read(world, user_id, **{"Cache-Control": asked}))["orders"]["data"] == ["new"]
        assert (await _read(world, user_id))["orders"]["data"] == ["new"]


async def test_a_broker_that_says_nothing_holds_nothing_up(start: Start) -> None:
    """A RabbitMQ that takes connections and never greets: the gateway starts and answers, and stops in time."""
    async with StubService().running() as silent:
        silent.behaviours["*"] = hang
        async with start(rabbitmq_url=f"amqp://127.0.0.1:{silent.port}/") as world:
            assert (await _read(world, new_id()))["orders"]["status"] == "fresh"
            assert not world.gateway.cache.enabled


async def test_redis_flushed(start: Start, rabbitmq: RabbitBackend) -> None:
    """What Redis forgot is forgotten: a failing panel is unavailable, the others are as before."""
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as world:
        user_id = new_id()
        await _read(world, user_id)
        await eventually(lambda: world.redis.exists(f"lkg:orders:{user_id}"))
        await world.redis.flushdb()
        world.orders.behaviours["orders"] = replies(b"{}", 500)
        panels = await _read(world, user_id, **{"Cache-Control": "no-cache"})
        expected = dict.fromkeys(PANELS, "fresh") | {"orders": "unavailable"}
        assert {name: panel["status"] for name, panel in panels.items()} == expected


async def test_what_is_too_old_is_not_even_stale(start: Start) -> None:
    """An entry that Redis should have dropped, and has not, is not shown."""
    async with start(last_known_good_max_age_s=60) as world:
        user_id = new_id()
        world.orders.behaviours["orders"] = replies(b"{}", 500)
        await world.redis.set(f"lkg:orders:{user_id}", b'{"at": 1000, "data": []}')
        assert (await _read(world, user_id))["orders"]["status"] == "unavailable"


async def test_panels_from_memory_are_not_written_again(start: Start, rabbitmq: RabbitBackend) -> None:
    """Nor is one that was read anew and is the same; a changed one is."""
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05) as world:
        await _connected(world)
        user_id, key = new_id(), "lkg:orders:{}"
        await _read(world, user_id)
        await eventually(lambda: world.redis.exists(key.format(user_id)))
        written = await world.redis.get(key.format(user_id))
        await _read(world, user_id)
        await _read(world, user_id, **{"Cache-Control": "no-cache"})
        await eventually(lambda: not world.gateway.stale_store._queue)
        assert await world.redis.get(key.format(user_id)) == written
        _shows(world.orders, "orders", ["new"])
        await _read(world, user_id, **{"Cache-Control": "no-cache"})

        async def rewritten() -> bool:
            return b'["new"]' in (await world.redis.get(key.format(user_id)) or b"")

        await eventually(rewritten)
