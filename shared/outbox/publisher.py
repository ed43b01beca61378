"""The relay's connection to RabbitMQ: publishes events with confirms, and checks whether RabbitMQ accepts messages.

It verifies that every bound queue existed, unchanged, while an event was published. `mandatory` reports only an event
that matched no queue at all, and the live feed of a gateway matches all of them. So:

- Before a batch its bindings are declared again. RabbitMQ restores a lost one, and closes the channel if a queue is
  missing.
- Each queue is bound to a witness, an exchange that RabbitMQ deletes together with its last binding, in the same
  transaction as the queue. A queue that is deleted and declared again has no witness. So an event was routed to every
  queue if the witnesses exist after its confirm.

A task needs neither: its type has one queue, and nothing else is bound to the exchange of tasks.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Self, cast

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelInvalidStateError, ChannelNotFoundEntity

from shared.contracts import topology
from shared.contracts.topology import JobQueue
from shared.rabbitmq import LOST

CONNECT_TIMEOUT_S = 5.0
PROBE_S = 1.5
"""Shorter than a readiness check may take."""
DECLARE_TIMEOUT_S = 45.0
"""The timeout for all declarations together. A broker that has just started recovers its queues first, which takes long
on a busy machine; giving up too early makes it take longer. The heartbeat detects a silent broker."""


class QueueLost(ConnectionError):
    """A queue was deleted while events were published. It may be missing some of them."""


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

    def __init__(
        self, channel: AbstractChannel, exchanges: dict[str, AbstractExchange], receivers: "Receivers"
    ) -> None:
        self.channel = channel
        self._exchanges = exchanges
        self._receivers = receivers
        self.probe = PublishProbe(channel)

    @classmethod
    @asynccontextmanager
    async def declared(cls, connection: AbstractConnection, name: str) -> AsyncIterator[Self]:
        """`name` must be unique among running relays. Raises `TopologyMismatch` and connection errors."""
        async with asyncio.timeout(DECLARE_TIMEOUT_S):
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            exchanges = {topology.EVENTS: await topology.declare(channel)}
            exchanges[topology.TASKS] = await channel.get_exchange(topology.TASKS, ensure=False)
        async with Receivers.watched(connection, name) as receivers:
            publisher = cls(channel, exchanges, receivers)
            try:
                yield publisher
            finally:
                publisher.probe.close()

    async def prepare(self, types: Iterable[str]) -> None:
        """Prepare to publish events of these types."""
        await self._receivers.bind(self.channel, types)

    async def publish(self, message: aio_pika.Message, event_type: str) -> None:
        """Publish an event or a task. Raises `DeliveryError` if a queue refuses it, or none matches."""
        exchange = self._exchanges[topology.exchange_of(event_type)]
        await exchange.publish(message, event_type, mandatory=True)

    async def check_received(self, types: Iterable[str]) -> None:
        """Verify after confirms. Raises `QueueLost` if one of their queues was deleted since the connection began."""
        await self._receivers.check(types)


class Receivers:
    """The queues of one relay's events. `name` must be unique among running relays."""

    def __init__(self, name: str, witnesses: aiormq.Channel) -> None:
        self._name = name
        self._channel = witnesses

    @classmethod
    @asynccontextmanager
    async def watched(cls, connection: AbstractConnection, name: str) -> AsyncIterator[Self]:
        """Give each queue its witness for the duration of the block. The topology must have been declared."""
        async with connection.channel(publisher_confirms=False) as channel:
            async with asyncio.timeout(DECLARE_TIMEOUT_S):
                receivers = cls(name, await _underlay(channel))
                for queue in topology.QUEUES.values():
                    await receivers._declare_witness(queue)
            try:
                yield receivers
            finally:
                with suppress(*LOST):
                    for queue in topology.QUEUES.values():
                        await receivers._channel.exchange_delete(receivers._witness(queue), nowait=True)

    async def bind(self, channel: AbstractChannel, types: Iterable[str]) -> None:
        """Declare the bindings of these types, on the channel that is about to publish; RabbitMQ keeps the order.

        Does not wait for a reply: if a queue is missing, publishing on that channel raises.
        """
        underlay = await _underlay(channel)
        for event_type in types:
            for queue in topology.receivers_of(event_type):
                await underlay.queue_bind(queue.name, topology.exchange_of(event_type), event_type, nowait=True)

    async def check(self, types: Iterable[str]) -> None:
        """Raises `QueueLost` unless the queues of these types are still the original ones. One round trip."""
        *first, last = {queue.name: queue for one in types for queue in topology.receivers_of(one)}.values() or (None,)
        if last is None:
            return
        try:
            for queue in first:
                await self._channel.exchange_declare(self._witness(queue), passive=True, nowait=True)
            await self._channel.exchange_declare(self._witness(last), passive=True)
        except (ChannelNotFoundEntity, ChannelInvalidStateError) as gone:
            if self._channel.connection.is_closed:  # it has closed the channel, too
                raise
            raise QueueLost(f"a queue was deleted: {gone!r}") from gone

    def _witness(self, queue: JobQueue) -> str:
        return f"relay.{self._name}.{queue.name}"

    async def _declare_witness(self, queue: JobQueue) -> None:
        witness = self._witness(queue)
        await self._channel.exchange_declare(witness, exchange_type="fanout", auto_delete=True)
        await self._channel.queue_bind(queue.name, witness)


async def _underlay(channel: AbstractChannel) -> aiormq.Channel:
    """Return aiormq's own channel: aio-pika's cannot send without waiting for the reply."""
    return cast("aiormq.Channel", await channel.get_underlay_channel())
