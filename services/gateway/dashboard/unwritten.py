"""Panels that wait to be written to Redis."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

Key = tuple[str, str]
"""Panel and user id."""


class Read(NamedTuple):
    """A panel as it was read: `asked` is when its question was asked (monotonic seconds), `at` the same as Unix
    milliseconds."""

    asked: float
    at: int
    data: bytes


class Unwritten:
    """The newest of each user's panels, whatever order they come in; those of the user who has waited longest are
    dropped when too many users wait."""

    PRESSING_SHARE = 0.5
    """The queue that is so full is not left to gather any longer."""

    def __init__(self, most_users: int) -> None:
        self._most = most_users
        self._pressing_at = max(1, int(most_users * self.PRESSING_SHARE))
        self._queue: dict[str, dict[str, Read]] = {}
        self._taken: dict[str, dict[str, Read]] = {}
        self._filled, self._pressing = asyncio.Event(), asyncio.Event()

    def __len__(self) -> int:
        """Panels."""
        return sum(map(len, self._queue.values()))

    def get(self, key: Key) -> Read | None:
        """What waits, or is being written."""
        panel, user_id = key
        return self._queue.get(user_id, {}).get(panel) or self._taken.get(user_id, {}).get(panel)

    def put(self, user_id: str, asked: float, at: int, panels: Mapping[str, bytes]) -> int:
        """How many panels were dropped for these."""
        known = self._queue.get(user_id)
        if known is None:
            self._queue[user_id] = {
                panel: Read(asked, at, data)
                for panel, data in panels.items()
                if not self._is_newer(self._taken, user_id, panel, asked)
            }
            return self._grown()
        for panel, data in panels.items():
            before = known.get(panel)
            if before is None or before.asked <= asked:
                known[panel] = Read(asked, at, data)
        return 0

    def forget(self, user_id: str) -> None:
        self._queue.pop(user_id, None)
        self._taken.pop(user_id, None)

    async def take(self, pause_s: float) -> Iterator[tuple[Key, Read]]:
        """All of them, once there is something and it has had that time to become much; then call `written`."""
        await self._filled.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._pressing.wait()
        self._taken, self._queue = self._queue, {}
        self._filled.clear()
        self._pressing.clear()
        taken = list(self._taken.items())
        return (((panel, user_id), read) for user_id, panels in taken for panel, read in panels.items())

    def written(self) -> None:
        """What was taken is in Redis, or lost."""
        self._taken = {}

    @staticmethod
    def _is_newer(queue: Mapping[str, Mapping[str, Read]], user_id: str, panel: str, asked: float) -> bool:
        known = queue.get(user_id)
        return known is not None and panel in known and known[panel].asked > asked

    def _grown(self) -> int:
        waiting = len(self._queue)
        if waiting == 1:
            self._filled.set()
        if waiting >= self._pressing_at:
            self._pressing.set()
            if waiting > self._most:
                return len(self._queue.pop(next(iter(self._queue))))
        return 0
