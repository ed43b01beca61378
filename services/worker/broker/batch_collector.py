"""Gathers what arrives one by one into batches."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class BatchCollector(Generic[T]):
    """Hands over what was put in, in order. What comes after a quiet while is handed over at once, with what came in
    the same moment; what comes while or soon after a batch is handled waits for company: until a batch is full, or for
    some time after its first.

    A list and three events: a queue that wakes its reader for each item costs more than all else that is done here.
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
        """Until cancelled. `handle` must not raise."""
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
        """Returns when all that was put in has been handled."""
        await self._idle.wait()

    def _take(self) -> list[T]:
        batch, self._items = self._items[: self._size], self._items[self._size :]
        if not self._items:
            self._begun.clear()
        if len(self._items) < self._size:
            self._full.clear()
        return batch
