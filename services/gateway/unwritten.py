"""Panels that wait to be written to Redis."""

import asyncio
from contextlib import suppress
from typing import NamedTuple

import msgspec

Key = tuple[str, str]
"""Panel and user id."""


class Read(NamedTuple):
    """A panel as it was read: `asked` is when its question was asked (monotonic seconds), `at` the same as Unix
    milliseconds."""

    asked: float
    at: int
    data: msgspec.Raw


class Unwritten:
    """The newest of each user's panels, whatever order they come in; the oldest are dropped when too many wait."""

    PRESSING_SHARE = 0.5
    """The queue that is so full is not left to gather any longer."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pressing_at = max(1, int(most * self.PRESSING_SHARE))
        self._queue: dict[Key, Read] = {}
        self._taken: dict[Key, Read] = {}
        self._filled, self._pressing = asyncio.Event(), asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def get(self, key: Key) -> Read | None:
        """What waits, or is being written."""
        return self._queue.get(key) or self._taken.get(key)

    def put(self, key: Key, read: Read) -> bool:
        """False when another was dropped for it."""
        known = self.get(key)
        if known and known.asked > read.asked:
            return True
        self._queue[key] = read
        waiting = len(self._queue)
        if waiting == 1:
            self._filled.set()
        if waiting >= self._pressing_at:
            self._pressing.set()
        if waiting <= self._most:
            return True
        del self._queue[next(iter(self._queue))]
        return False

    def forget(self, key: Key) -> None:
        self._queue.pop(key, None)
        self._taken.pop(key, None)

    async def take(self, pause_s: float) -> list[tuple[Key, Read]]:
        """All of them, once there is something and it has had that time to become much; then call `written`."""
        await self._filled.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._pressing.wait()
        self._taken, self._queue = self._queue, {}
        self._filled.clear()
        self._pressing.clear()
        return list(self._taken.items())

    def written(self) -> None:
        """What was taken is in Redis, or lost."""
        self._taken = {}
