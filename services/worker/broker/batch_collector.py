"""Batches: items collected one by one, and a consumer of a queue for jobs that process many events at once.

The consumer uses aio-pika directly, next to FastStream and over its connection: FastStream's per-message processing
would cost more than the job. aio-pika restores the consumer after the loss of the connection or the queue, as it does
FastStream's.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from aio_pika.abc import AbstractIncomingMessage, AbstractRobustQueue, ConsumerTag
from faststream.rabbit import RabbitBroker

T = TypeVar("T")
Handler = Callable[[AbstractIncomingMessage], Awaitable[None]]
"""Must not raise, and must not delay the next message: the work is done elsewhere."""


class BatchCollector(Generic[T]):
    """Hands over the collected items, in order. An item after a quiet period is handed over at once, with the items of
    the same moment; items that arrive during or soon after a batch wait until the next batch is full, or for some time
    after its first item.

    Uses a list and three events: a queue that wakes its reader for each item costs more than everything else here.
    """

    def __init__(self, size: int, wait_s: float, handle: Callable[[list[T]], Awaitable[None]]) -> None:
        self._size = size
        self._wait_s = wait_s
        self._handle = handle
        self._items: list[T] = []
        self._begun, self._full, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()

    def put(self, item: T) -> None:
        self._items.append(item)
        if len(self._items) == 1:
            self._begun.set()
            self._idle.clear()
        if len(self._items) == self._size:
            self._full.set()

    async def run(self) -> None:
        """Run until cancelled. `handle` must not raise."""
        busy_until = 0.0
        while True:
            await self._begun.wait()
            if time.monotonic() < busy_until:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._wait_s):
                        await self._full.wait()
            await self._handle(self._take())
            busy_until = time.monotonic() + self._wait_s
            if not self._items:
                self._idle.set()

    async def drained(self) -> None:
        """Return when all collected items have been handled."""
        await self._idle.wait()

    def _take(self) -> list[T]:
        batch, self._items = self._items[: self._size], self._items[self._size :]
        if not self._items:
            self._begun.clear()
        if len(self._items) < self._size:
            self._full.clear()
        return batch


class BatchConsumer:
    def __init__(self, broker: RabbitBroker, queue: str, prefetch: int, handler: Handler) -> None:
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._handler = handler
        self.consuming: tuple[AbstractRobustQueue, ConsumerTag] | None = None
        """The queue, and its consumer tag; None before the start and after the end."""

    async def start(self) -> None:
        """Start to consume, on a separate channel, since prefetch and multiple acknowledgements are per channel. The
        queue must exist."""
        connection = await self._broker.connect()
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(self._prefetch)
        queue = await channel.declare_queue(self._queue, passive=True)
        self.consuming = queue, await queue.consume(self._handler)

    async def stop(self) -> None:
        """Stop the delivery of messages. The channel stays open to acknowledge in-flight messages."""
        if self.consuming is None:
            return
        (queue, tag), self.consuming = self.consuming, None
        if not queue.channel.is_closed:
            await queue.cancel(tag)
