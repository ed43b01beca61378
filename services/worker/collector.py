"""Gathers what arrives one by one into batches."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Collector(Generic[T]):
    """Hands over what was put in, in order: when a batch is full, or some time after its first."""

    def __init__(self, size: int, wait_s: float, handle: Callable[[list[T]], Awaitable[None]]) -> None:
        self._size = size
        self._wait_s = wait_s
        self._handle = handle
        self._queue: asyncio.Queue[T] = asyncio.Queue()

    def put(self, item: T) -> None:
        self._queue.put_nowait(item)

    async def run(self) -> None:
        """Until cancelled. `handle` must not raise."""
        while True:
            batch = [await self._queue.get()]
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s):
                    while len(batch) < self._size:
                        batch.append(await self._queue.get())
            await self._handle(batch)
            for _ in batch:
                self._queue.task_done()

    async def drained(self) -> None:
        """Returns when all that was put in has been handled."""
        await self._queue.join()
