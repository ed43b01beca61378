"""The relay's connection to RabbitMQ: publishes events with confirms, and checks whether RabbitMQ accepts messages."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from shared.contracts import topology
from shared.outbox.receivers import DECLARE_TIMEOUT_S, Receivers

CONNECT_TIMEOUT_S = 5.0
PROBE_S = 1.5
"""Shorter than a readiness check may take."""


@asynccontextmanager
async def connected(connection: AbstractConnection) -> AsyncIterator[AbstractConnection]:
    """Connect for the duration of the block. Raises connection errors."""
    async with connection:  # closed also if it cannot connect: otherwise its finalizer tries to, at any moment
        try:
            await connection.connect(timeout=CONNECT_TIMEOUT_S)
        except CONNECTION_EXCEPTIONS as away:  # includes StopAsyncIteration, which no generator may raise
            raise ConnectionError(repr(away)) from away
        yield connection


class PublishersBlocked(ConnectionError):
    """RabbitMQ is low on memory or disk, and accepts no messages."""


class PublishProbe:
    """Checks whether RabbitMQ accepts messages, by publishing on `channel`, which has publisher confirms."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._running: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """For readiness. Raises `PublishersBlocked`."""
        probe = self._probing()
        await asyncio.wait([probe], timeout=PROBE_S)
        if not probe.done():
            raise PublishersBlocked("RabbitMQ accepts no messages (memory or disk alarm); events wait in the outbox")
        if error := probe.cancelled() or probe.exception():
            raise ConnectionError(f"RabbitMQ confirms no messages: {error!r}; events wait in the outbox")

    async def accepts(self) -> None:
        """Wait until RabbitMQ accepts messages."""
        await asyncio.wait([self._probing()])

    def close(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _probing(self) -> asyncio.Task[None]:
        """One at a time: messages sent during an alarm stay in buffers."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._confirm_two())
        return self._running

    async def _confirm_two(self) -> None:
        """Two messages that are routed to no queue. During an alarm RabbitMQ reads the first one of a connection, and
        stops there."""
        for _ in range(2):
            message = aio_pika.Message(b"", delivery_mode=aio_pika.DeliveryMode.NOT_PERSISTENT)
            await self._channel.default_exchange.publish(message, "", mandatory=False)


class Publisher:
    """A connection with the topology declared. It is replaced after any loss."""

    def __init__(self, channel: AbstractChannel, events: AbstractExchange, receivers: Receivers) -> None:
        self.channel = channel
        self._events = events
        self._receivers = receivers
        self.probe = PublishProbe(channel)

    @classmethod
    @asynccontextmanager
    async def declared(cls, connection: AbstractConnection, name: str) -> AsyncIterator[Self]:
        """`name` must be unique among running relays. Raises `TopologyMismatch` and connection errors."""
        async with asyncio.timeout(DECLARE_TIMEOUT_S):
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            events = await topology.declare(channel)
        async with Receivers.watched(connection, name) as receivers:
            publisher = cls(channel, events, receivers)
            try:
                yield publisher
            finally:
                publisher.probe.close()

    async def prepare(self, types: Iterable[str]) -> None:
        """Prepare to publish events of these types."""
        await self._receivers.bind(self.channel, types)

    async def publish(self, message: aio_pika.Message, event_type: str) -> None:
        """Raises `DeliveryError` if a queue refuses the event, or none matches."""
        await self._events.publish(message, event_type, mandatory=True)

    async def check_received(self, types: Iterable[str]) -> None:
        """Verify after confirms. Raises `QueueLost` if one of their queues was deleted since the connection began."""
        await self._receivers.check(types)
