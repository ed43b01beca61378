"""Batches of items that are collected one by one."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


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
