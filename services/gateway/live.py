"""The live feed: every event and every hint, from RabbitMQ, to whoever in this gateway listens.

A queue of this connection's own that lives as long as the connection: what was published while it was down is not
made up for. Listeners are told when the feed comes and goes, and must think anything possible in between.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from services.gateway import metrics
from services.gateway.changes import Change, UnreadableChange, read_change
from shared import topology
from shared.amqp import LOST, Nodes
from shared.logs import get_logger
from shared.publisher import PublishProbe

log = get_logger(__name__)


class Listener(Protocol):
    """Told in the order in which things happen; must neither wait nor raise."""

    def feed_came(self) -> None:
        """Everything that is published from now on will be told."""

    def feed_lost(self) -> None:
        """Nothing is told until the feed comes again."""

    def changed(self, change: Change) -> None: ...

    def changed_unreadably(self) -> None:
        """Something has changed, and nobody can say what."""


class LiveFeed:
    """Follows RabbitMQ for as long as `run` runs, and finds it again by itself."""

    CONNECT_TIMEOUT_S = 5.0
    DECLARE_TIMEOUT_S = 5.0
    CLOSE_TIMEOUT_S = 1.0

    def __init__(self, rabbitmq_url: str, reconnect_s: float) -> None:
        self._nodes = Nodes(rabbitmq_url)
        self._reconnect_s = reconnect_s
        self._listeners: list[Listener] = []
        self._connected = False
        self._probe: PublishProbe | None = None

    @property
    def connected(self) -> bool:
        return self._connected

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell it from now on, beginning with whether the feed is there; call what is returned to end that."""
        self._listeners.append(listener)
        if self._connected:
            listener.feed_came()
        return lambda: self._listeners.remove(listener)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._consuming() as lost:
                    self._came()
                    await lost.wait()
                    log.warning("live feed lost; panels are not cached until it is back")
            except LOST as down:
                log.warning("live feed waits for its broker; panels are not cached", error=repr(down))
            finally:
                self._lost()
            await asyncio.sleep(self._reconnect_s)

    async def check(self) -> None:
        """For readiness: raises while there is no feed, or RabbitMQ takes nothing that it could tell."""
        if not self._connected or self._probe is None:
            raise ConnectionError("not connected; panels are not cached")
        await self._probe.check()

    @asynccontextmanager
    async def _consuming(self) -> AsyncIterator[asyncio.Event]:
        """Consuming within the block; the event is set when that is over, whoever ended it."""
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
            log.debug("live feed not closed in good order", error=repr(error))

    async def _take(self, message: AbstractIncomingMessage) -> None:
        try:
            change = read_change(message.exchange or "", message.routing_key or "", message.headers or {}, message.body)
        except UnreadableChange as broken:
            metrics.FEED_MESSAGES.counts[("unreadable",)] += 1
            log.warning("a message of the live feed cannot be read; the cache starts anew", reason=str(broken))
            for listener in list(self._listeners):
                listener.changed_unreadably()
            return
        metrics.FEED_MESSAGES.counts[(change.kind,)] += 1
        for listener in list(self._listeners):
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
