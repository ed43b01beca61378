"""The live stream, over a real listener and with a real broker: what is told, to whom, and when it ends."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractChannel

from shared.contracts import topology
from shared.ids import new_id
from shared.server.serve import Server
from tests.support.backends import RabbitBackend
from tests.support.gateway.stub import PANEL_DATA, Exchange, StubService, answer_panel, replies, reset
from tests.support.gateway.world import Start, World
from tests.support.later import move_clock
from tests.support.link import Link
from tests.support.served import client, listening
from tests.support.sse import reading
from tests.support.waiting import eventually

PATH = "/v1/dashboard/events"


@pytest.fixture
async def channel(rabbitmq: RabbitBackend) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        await topology.declare(channel)
        yield channel


@pytest.fixture
async def world(start: Start, rabbitmq: RabbitBackend) -> AsyncIterator[World]:
    async with start(rabbitmq_url=rabbitmq.url, feed_reconnect_s=0.05, stream_session_check_s=0.05) as started:
        await eventually(lambda: started.gateway.cache.enabled)
        yield started


async def _hint(channel: AbstractChannel, user_id: UUID, *panels: str, kind: str = "hint", **more: Any) -> None:
    exchange = await channel.get_exchange(topology.LIVE)
    body = json.dumps({"user_id": str(user_id), "panels": panels, **more}).encode()
    await exchange.publish(aio_pika.Message(body), kind)


async def _event(channel: AbstractChannel, user_id: UUID, kind: str) -> None:
    exchange = await channel.get_exchange(topology.EVENTS)
    await exchange.publish(aio_pika.Message(b"{}", headers={"subject": str(user_id), "type": kind}), kind)


def _shows(service: StubService, panel: str, data: object) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply_items({panel: dict.fromkeys(exchange.request.ids, data)})

    service.behaviours[panel] = answer


def _open(world: World, port: int, user_id: UUID, query: str = "", **headers: str) -> Any:
    return reading(f"http://127.0.0.1:{port}{PATH}{query}", world.bearer(user_id) | headers)


async def test_every_panel_is_told_then_ready(world: World) -> None:
    """Each panel comes once, as it is in a dashboard; `ready` follows the last."""
    async with listening(world.app) as port, _open(world, port, new_id()) as reader:
        await reader.until("ready")
        assert {told.data["panel"]: told.data["data"] for told in reader.of("panel")} == PANEL_DATA
        assert {told.data["status"] for told in reader.of("panel")} == {"fresh"}
        assert [told.event for told in reader.events] == ["panel"] * len(PANEL_DATA) + ["ready"]
        assert reader.retry_ms


async def test_a_slow_panel_holds_no_other_back(world: World) -> None:
    """The others are told while one is still being waited for."""
    released = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await released.wait()
        await exchange.reply_items({"orders": {key: [] for key in exchange.request.ids}})

    world.orders.behaviours["orders"] = late
    async with listening(world.app) as port, _open(world, port, new_id()) as reader:
        await reader.until("panel", 3)
        assert not reader.panels("orders")
        released.set()
        await reader.until("ready")
        assert reader.panels("orders")


async def test_a_change_is_told_in_every_gateway(
    world: World, start: Start, rabbitmq: RabbitBackend, channel: AbstractChannel
) -> None:
    """An event or a hint about the user brings the panels it touches, at each replica, and to nobody else."""
    user_id = new_id()
    async with start(rabbitmq_url=rabbitmq.url, users_url=world.users.url, orders_url=world.orders.url) as other:
        await eventually(lambda: other.gateway.cache.enabled)
        async with (
            listening(world.app) as port,
            listening(other.app) as other_port,
            _open(world, port, user_id) as here,
            _open(other, other_port, user_id) as there,
            _open(world, port, new_id()) as stranger,
        ):
            for reader in (here, there, stranger):
                await reader.until("ready")
            _shows(world.orders, "orders", [{"id": "2"}])
            await _event(channel, user_id, "order.created")
            await eventually(lambda: len(here.panels("orders")) == len(there.panels("orders")) == 2)
            assert here.panels("orders")[1]["data"] == there.panels("orders")[1]["data"] == [{"id": "2"}]
            await _hint(channel, user_id, "analytics")
            await eventually(lambda: len(here.panels("analytics")) == 2)
            assert len(stranger.of("panel")) == len(PANEL_DATA)


async def test_bursts_are_told_by_the_latest(world: World, channel: AbstractChannel) -> None:
    """A hundred changes while one reading is under way cost one more, and the last one is seen."""
    user_id = new_id()
    asked, go = asyncio.Event(), asyncio.Event()

    async def held(exchange: Exchange) -> None:
        asked.set()
        await go.wait()
        await answer_panel(exchange)

    async with listening(world.app) as port, _open(world, port, user_id) as reader:
        await reader.until("ready")
        world.orders.behaviours["orders"] = held
        await _hint(channel, user_id, "orders")
        await asked.wait()
        for _ in range(100):
            await _hint(channel, user_id, "orders")
        _shows(world.orders, "orders", [{"id": "last"}])
        await _hint(channel, user_id, "user")
        await eventually(lambda: len(reader.panels("user")) == 2)  # so all before it have been heard
        go.set()
        await eventually(lambda: reader.panels("orders")[-1]["data"] == [{"id": "last"}])
        readings = world.orders.queries("orders")
        assert len(readings) == 3


async def test_imports_are_told_as_they_go(world: World, channel: AbstractChannel) -> None:
    """The progress in a hint of that kind comes as an event of its own; what cannot be read is passed over."""
    user_id = new_id()
    progress = {"id": str(new_id()), "state": "running", "rows_done": 5}
    async with listening(world.app) as port, _open(world, port, user_id) as reader:
        await reader.until("ready")
        await _hint(channel, user_id, kind="import", **{"import": 7})
        await _hint(channel, user_id, kind="import", **{"import": progress})
        assert (await reader.until("import")).data == progress


async def test_who_comes_back_is_told_what_differs(world: World) -> None:
    """With the last event's id, only panels that have changed meanwhile come; with an odd id, all."""
    user_id = new_id()
    async with listening(world.app) as port:
        async with _open(world, port, user_id) as reader:
            last = (await reader.until("ready")).id
        _shows(world.orders, "orders", [{"id": "missed"}])
        world.gateway.invalidation.drop(user_id)
        async with _open(world, port, user_id, **{"Last-Event-ID": last}) as again:
            await again.until("ready")
            assert [told.data["data"] for told in again.of("panel")] == [[{"id": "missed"}]]
        async with _open(world, port, user_id, **{"Last-Event-ID": "x" * 4000}) as odd:
            await odd.until("ready")
            assert len(odd.of("panel")) == len(PANEL_DATA)


async def test_only_the_panels_asked_for(world: World, channel: AbstractChannel) -> None:
    """`?panels=` works as for a dashboard, an unknown one is refused, and HEAD ends at once."""
    user_id = new_id()
    async with listening(world.app) as port:
        async with _open(world, port, user_id, "?panels=user") as reader:
            await reader.until("ready")
            await _hint(channel, user_id, "orders", "user")
            await reader.until("panel", 2)
            assert {told.data["panel"] for told in reader.of("panel")} == {"user"}
        async with client(base_url=f"http://127.0.0.1:{port}", headers=world.bearer()) as http:
            assert (await http.get(PATH + "?panels=nonsense")).status_code == 422
            assert (await http.head(PATH)).headers["Content-Type"] == "text/event-stream"
            await eventually(lambda: len(world.gateway.hub) == 0)


async def test_what_is_away_is_said_and_comes_back(start: Start, rabbitmq: RabbitBackend) -> None:
    """A panel that cannot be read is `unavailable` with the reason; it is read again until it is fresh."""
    settings = {"rabbitmq_url": rabbitmq.url, "stream_retry_s": 0.1, "breaker_open_s": 0.1}
    async with start(**settings) as world, listening(world.app) as port:
        await eventually(lambda: world.gateway.cache.enabled)
        world.orders.behaviours["orders"] = reset
        async with _open(world, port, new_id()) as reader:
            await reader.until("ready")
            away = reader.panels("orders")[0]
            assert (away["status"], away["data"]) == ("unavailable", None)
            assert away["error"]["code"] in ("bad_response", "circuit_open")
            del world.orders.behaviours["orders"]
            await eventually(lambda: reader.panels("orders")[-1]["status"] == "fresh")


async def test_silent_changes_show_in_the_end(start: Start, rabbitmq: RabbitBackend) -> None:
    """What nobody spoke of is found by reading again; what looks the same is not told again."""
    settings = {"rabbitmq_url": rabbitmq.url, "stream_recheck_s": 0.2, "cache_max_age_s": 0.05}
    async with start(**settings) as world, listening(world.app) as port:
        await eventually(lambda: world.gateway.cache.enabled)  # otherwise all panels are sent again when it is
        async with _open(world, port, new_id()) as reader:
            await reader.until("ready")
            _shows(world.orders, "orders", [{"id": "silent"}])
            await eventually(lambda: reader.panels("orders")[-1]["data"] == [{"id": "silent"}])
            assert len(reader.panels("user")) == 1


async def test_a_lost_feed_is_told_and_made_up_for(start: Start, rabbitmq: RabbitBackend) -> None:
    """Clients hear that the feed is lost and that it is back; then every panel comes anew."""
    async with Link.to(rabbitmq.url) as link, start(rabbitmq_url=link.url, feed_reconnect_s=0.05) as world:
        await eventually(lambda: world.gateway.cache.enabled)
        async with listening(world.app) as port, _open(world, port, new_id()) as reader:
            await reader.until("ready")
            await link.cut()
            assert (await reader.until("feed")).data == {"live": False}
            await link.mend()
            assert (await reader.until("feed", 2)).data == {"live": True}
            await reader.until("panel", 2 * len(PANEL_DATA))
            assert {told.data["panel"] for told in reader.of("panel")[len(PANEL_DATA) :]} == set(PANEL_DATA)


async def test_heartbeats_fill_silence(start: Start) -> None:
    """And a stream without the feed says so from the beginning."""
    settings = {"stream_heartbeat_s": 0.05}
    async with start(**settings) as world, listening(world.app) as port, _open(world, port, new_id()) as reader:
        await eventually(lambda: reader.comments >= 3)
        assert reader.of("feed")[0].data == {"live": False}


async def test_so_many_streams_a_user(start: Start) -> None:
    """One more is refused with 429 until one is closed; others are not concerned."""
    async with start(stream_max_per_user=2) as world, listening(world.app) as port:
        user_id = new_id()
        async with _open(world, port, user_id), _open(world, port, user_id), _open(world, port, new_id()):
            with pytest.raises(httpx.HTTPStatusError) as refused:
                async with _open(world, port, user_id):
                    pass
            assert refused.value.response.status_code == 429
            assert refused.value.response.json()["code"] == "too_many_streams"
            assert refused.value.response.headers["Retry-After"]
        await eventually(lambda: len(world.gateway.hub) == 0)
        async with _open(world, port, user_id) as reader:
            await reader.until("ready")


async def test_a_stream_ends_with_its_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that the token has expired; without a valid one there is no stream at all."""
    async with listening(world.app) as port:
        url = f"http://127.0.0.1:{port}{PATH}"
        bearer = world.bearer()
        async with reading(url, bearer) as reader:
            await reader.until("ready")
            assert not reader.of("end")
            move_clock(monkeypatch, seconds=900 + 60)
            assert (await reader.until("end")).data == {"reason": "token_expired"}
            await eventually(lambda: reader.ended)
        async with client() as http:
            assert (await http.get(url)).status_code == 401
            assert (await http.get(url, headers=bearer)).status_code == 401


async def test_a_stream_ends_with_its_session(world: World, start: Start, rabbitmq: RabbitBackend) -> None:
    """Signing out at another gateway ends it here; the user's other session stays."""
    user_id, session = new_id(), new_id()
    async with start(rabbitmq_url=rabbitmq.url) as other, listening(world.app) as port:
        url = f"http://127.0.0.1:{port}{PATH}"
        async with reading(url, world.bearer(user_id, session=session)) as reader, _open(world, port, user_id) as stays:
            await reader.until("ready")
            other.users.behaviours["/v1/tokens"] = replies(b"", 204)
            gone = await other.client.delete("/v1/tokens", headers=other.bearer(user_id, session=session))
            assert gone.status_code == 204
            assert (await reader.until("end")).data == {"reason": "session_ended"}
            await eventually(lambda: reader.ended)
            assert not stays.ended


async def test_stopping_ends_all_streams_at_once(world: World) -> None:
    """They are told, and so are those that come yet: they begin, and end with the same word."""
    async with listening(world.app) as port:
        async with _open(world, port, new_id()) as first, _open(world, port, new_id()) as second:
            readers = [first, second]
            for reader in readers:
                await reader.until("ready")
            for hook in world.app.state.stopping:
                hook()
            for reader in readers:
                assert (await reader.until("end")).data == {"reason": "shutting_down"}
            await eventually(lambda: all(reader.ended for reader in readers))
        async with _open(world, port, new_id()) as late:
            assert (await late.until("end")).data == {"reason": "shutting_down"}


async def test_a_client_that_does_not_read_costs_a_bounded_amount(
    start: Start, rabbitmq: RabbitBackend, channel: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loses its stream, until then one reading of each panel is all that is kept for it, and its connection is not
    kept for long either."""
    monkeypatch.setattr(Server, "PEER_PATIENCE_MS", 500)
    settings = {"rabbitmq_url": rabbitmq.url, "stream_send_timeout_s": 0.2, "stream_reads_per_s": 1000}
    async with start(**settings) as world, listening(world.app) as port:
        await eventually(lambda: world.gateway.cache.enabled)
        user_id = new_id()
        _shows(world.orders, "orders", [{"id": "x" * 500_000}])
        bearer = world.bearer(user_id)["Authorization"]
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode())
            await eventually(lambda: len(world.gateway.hub) == 1)

            async def dropped() -> bool:
                await _hint(channel, user_id, "orders")
                return len(world.gateway.hub) == 0

            await eventually(dropped)
            await eventually(lambda: _is_cut(client))


def _is_cut(client: socket.socket) -> bool:
    try:
        client.send(b" ")
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False
