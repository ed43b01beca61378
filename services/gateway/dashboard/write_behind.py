"""Panels that wait to be written to Redis."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

Key = tuple[str, str]
"""Panel and user id."""


class PanelRead(NamedTuple):
    """A panel that was read: `asked` is when the read was requested (monotonic seconds), `at` the same as Unix
    milliseconds."""

    asked: float
    at: int
    data: bytes


PanelReads = tuple[float, int, Mapping[str, bytes]]
"""Panels that were requested together: `asked` and `at` of `PanelRead`, and their JSON."""
MAX_READS = 8
"""The number of panels of one user, before only the newest of each panel are kept."""


class WriteBehindQueue:
    """Keeps the newest of each user's panels, in whatever order they arrive; drops those of the user who has waited
    longest if too many users wait."""

    PRESSING_SHARE = 0.5
    """At this size the queue is written without further delay."""

    def __init__(self, max_users: int) -> None:
        self._max_users = max_users
        self._pressing_at = max(1, int(max_users * self.PRESSING_SHARE))
        self._queue: dict[str, list[PanelReads]] = {}
        self._taken: dict[str, list[PanelReads]] = {}
        self._filled, self._pressing = asyncio.Event(), asyncio.Event()

    def __len__(self) -> int:
        """The number of panels."""
        return sum(len(panels) for reads in self._queue.values() for _, _, panels in reads)

    def get(self, key: Key) -> PanelRead | None:
        """Return whether panels wait or are being written."""
        panel, user_id = key
        known = _newest(self._queue.get(user_id, ())).get(panel), _newest(self._taken.get(user_id, ())).get(panel)
        return max((read for read in known if read is not None), key=lambda read: read.asked, default=None)

    def put(self, user_id: str, asked: float, at: int, panels: Mapping[str, bytes]) -> int:
        """Add panels; return how many were dropped for them."""
        reads = self._queue.get(user_id)
        if reads is None:
            self._queue[user_id] = [(asked, at, panels)]
            return self._grown()
        last_asked, _, last = reads[0]
        if len(reads) == 1 and last_asked < asked and last.keys() <= panels.keys():
            reads[0] = asked, at, panels
        else:
            reads.append((asked, at, panels))
            if len(reads) > MAX_READS:
                reads[:] = [(read.asked, read.at, {panel: read.data}) for panel, read in _newest(reads).items()]
        return 0

    def clear(self) -> None:
        """Drop everything that is not being written."""
        self._queue.clear()

    def forget(self, user_id: str) -> None:
        self._queue.pop(user_id, None)
        self._taken.pop(user_id, None)

    async def take(self, pause_s: float) -> Iterator[tuple[Key, PanelRead]]:
        """Return all panels, once there are some and the collection time has passed; then call `written`."""
        await self._filled.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._pressing.wait()
        self._taken, self._queue = self._queue, {}
        self._filled.clear()
        self._pressing.clear()
        taken = list(self._taken.items())
        return (((panel, user_id), read) for user_id, reads in taken for panel, read in _newest(reads).items())

    def written(self) -> None:
        """The returned panels are in Redis, or lost."""
        self._taken = {}

    def _grown(self) -> int:
        waiting = len(self._queue)
        if waiting == 1:
            self._filled.set()
        if waiting >= self._pressing_at:
            self._pressing.set()
            if waiting > self._max_users:
                return len(_newest(self._queue.pop(next(iter(self._queue)))))
        return 0


def _newest(reads: Iterable[PanelReads]) -> dict[str, PanelRead]:
    """Return the most recent request by panel. Of two at the same moment the first to arrive stays: the late answer of
    a call that was given up may be older."""
    newest: dict[str, PanelRead] = {}
    for asked, at, panels in reads:
        for panel, data in panels.items():
            known = newest.get(panel)
            if known is None or known.asked < asked:
                newest[panel] = PanelRead(asked, at, data)
    return newest
