"""The live feed: every event and every hint, from RabbitMQ, to the listeners in this gateway.

Uses a queue of its own connection: messages published while it was disconnected are lost. Listeners are notified when
the feed connects and disconnects, and must assume any change in between.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import aio_pika
import msgspec
from aio_pika.abc import AbstractIncomingMessage

from services.gateway import metrics
from services.gateway.panels import Panels
from shared.contracts import events, topology
from shared.observability.logs import get_logger
from shared.outbox.publisher import PublishProbe
from shared.rabbitmq import LOST, Nodes


class UnreadableChange(ValueError):
    """A message that does not identify its users."""


@dataclass(frozen=True, slots=True)
class Change:
    """`panels` of the user have changed; None means any may have. `body` is the message's body, `kind` its routing
    key."""

    user_id: UUID
    panels: tuple[str, ...] | None
    kind: str
    body: bytes


class _Hint(msgspec.Struct, frozen=True):
    user_id: UUID
    panels: tuple[str, ...]


Touched = Mapping[str, tuple[str, ...] | None]


def touched_by_events(panels: Panels) -> Touched:
    """Return the panels that each known event changes immediately, as declared; a deletion may change any (None), and
    so may an event that is not in the result. Later effects in the worker are announced by its hints."""
    known = dict.fromkeys([*events.EVENTS, *(event for panel in panels for event in panel.changed_by)])
    touched = {event: tuple(panel.name for panel in panels if event in panel.changed_by) for event in known}
    return {**touched, events.UserDeleted.type: None}


_hints: msgspec.json.Decoder[_Hint | list[_Hint]] = msgspec.json.Decoder(_Hint | list[_Hint])


def read_changes(
    touched: Touched, exchange: str, routing_key: str, headers: Mapping[str, Any], body: bytes
) -> list[Change]:
    """Return what an event or the hints of a message change. Raises `UnreadableChange`."""
    try:
        if exchange == topology.LIVE:
            hints = _hints.decode(body)
            each = hints if isinstance(hints, list) else [hints]
            return [Change(hint.user_id, hint.panels, routing_key, body) for hint in each]
        return [Change(UUID(str(headers["subject"])), touched.get(routing_key), routing_key, body)]
    except (KeyError, ValueError, RecursionError) as broken:
        raise UnreadableChange(repr(broken)) from broken


log = get_logger(__name__)


class Listener(Protocol):
    """Called in the order of events; must neither wait nor raise."""

    def feed_came(self) -> None:
        """Everything that is published from now on will be received."""

    def feed_lost(self) -> None:
        """Nothing is received until the feed reconnects."""

    def changed(self, change: Change) -> None: ...

    def changed_unreadably(self) -> None:
        """An unknown change has happened."""


class LiveFeed:
    """Follows RabbitMQ while `run` runs, and reconnects by itself."""

    CONNECT_TIMEOUT_S = 5.0
    DECLARE_TIMEOUT_S = 5.0
    CLOSE_TIMEOUT_S = 1.0

    def __init__(self, rabbitmq_url: str, panels: Panels, reconnect_s: float) -> None:
        self._touched = touched_by_events(panels)
        self._nodes = Nodes(rabbitmq_url)
        self._reconnect_s = reconnect_s
        self._listeners: list[Listener] = []
        self._connected = False
        self._probe: PublishProbe | None = None

    def use(self, panels: Panels) -> None:
        """Attribute events to these panels from now on."""
        self._touched = touched_by_events(panels)

    @property
    def connected(self) -> bool:
        return self._connected

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Notify it from now on, beginning with whether the feed is connected; call the result to stop."""
        self._listeners.append(listener)
        if self._connected:
            listener.feed_came()
        return lambda: self._listeners.remove(listener)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                async with self._consuming() as lost:
                    self._came()
                    await lost.wait()
                    log.warning("live feed disconnected; panels are not cached until it reconnects")
            except LOST as down:
                log.warning("live feed waiting for its broker; panels are not cached", error=repr(down))
            finally:
                self._lost()
            await asyncio.sleep(self._reconnect_s)

    async def check(self) -> None:
        """For readiness: raises while the feed is disconnected, or RabbitMQ accepts no messages."""
        if not self._connected or self._probe is None:
            raise ConnectionError("not connected; panels are not cached")
        await self._probe.check()

    @asynccontextmanager
    async def _consuming(self) -> AsyncIterator[asyncio.Event]:
        """Consume within the block; the event is set when consuming ends for any reason."""
        lost = asyncio.Event()

        def lose(*_: object) -> None:
            self._lost()  # at once: a request may be next
            lost.set()

        connection = aio_pika.Connection(self._nodes.next())
        try:
            await connection.connect(timeout=self.CONNECT_TIMEOUT_S)
            connection.close_callbacks.add(lose)
            async with asyncio.timeout(self.DECLARE_TIMEOUT_S):
                channel = await connection.channel(publisher_confirms=False)
                channel.close_callbacks.add(lose)
                (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(lose)
                queue = await topology.declare_feed(channel)
                await queue.consume(self._take, no_ack=True, exclusive=True)
                probing = await connection.channel(publisher_confirms=True)
                probing.close_callbacks.add(lose)
            self._probe = PublishProbe(probing)
            yield lost
        finally:
            if self._probe is not None:
                self._probe.close()
            await self._close(connection)

    async def _close(self, connection: aio_pika.Connection) -> None:
        try:
            async with asyncio.timeout(self.CLOSE_TIMEOUT_S):
                await connection.close()
        except LOST as error:
            log.debug("live feed not closed gracefully", error=repr(error))

    async def _take(self, message: AbstractIncomingMessage) -> None:
        try:
            key, headers = message.routing_key or "", message.headers or {}
            changes = read_changes(self._touched, message.exchange or "", key, headers, message.body)
        except UnreadableChange as broken:
            metrics.FEED_MESSAGES.counts[("unreadable",)] += 1
            log.warning("unreadable message on the live feed; the cache is dropped", reason=str(broken))
            for listener in list(self._listeners):
                listener.changed_unreadably()
            return
        metrics.FEED_MESSAGES.counts[(key,)] += 1
        for listener in list(self._listeners):
            for change in changes:
                listener.changed(change)

    def _came(self) -> None:
        if not self._connected:
            self._connected = True
            metrics.FEED_CONNECTED.set(1)
            log.info("live feed connected")
            for listener in list(self._listeners):
                listener.feed_came()

    def _lost(self) -> None:
        if self._connected:
            self._connected = False
            metrics.FEED_CONNECTED.set(0)
            for listener in list(self._listeners):
                listener.feed_lost()
