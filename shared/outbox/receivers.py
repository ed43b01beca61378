"""Verifies that every bound queue existed, unchanged, while an event was published.

`mandatory` reports only an event that matched no queue at all, and the live feed of a gateway matches all of them. So:

- Before a batch its bindings are declared again. RabbitMQ restores a lost one, and closes the channel if a queue is
  missing.
- Each queue is bound to a witness, an exchange that RabbitMQ deletes together with its last binding, in the same
  transaction as the queue. A queue that is deleted and declared again has no witness. So an event was routed to every
  queue if the witnesses exist after its confirm.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Self, cast

import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelInvalidStateError, ChannelNotFoundEntity

from shared.contracts import topology
from shared.contracts.topology import JobQueue
from shared.rabbitmq import LOST

DECLARE_TIMEOUT_S = 45.0
"""The timeout for all declarations together. A broker that has just started recovers its queues first, which takes long
on a busy machine; giving up too early makes it take longer. The heartbeat detects a silent broker."""


class QueueLost(ConnectionError):
    """A queue was deleted while events were published. It may be missing some of them."""


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
                await underlay.queue_bind(queue.name, topology.EVENTS, event_type, nowait=True)

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
