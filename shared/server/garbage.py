"""When the cyclic garbage collector runs: for young objects at any time, for all objects only while the process is
idle.

A full collection blocks the event loop while it visits every object.
"""

import asyncio
import gc
import time
from collections.abc import Callable

YOUNG, MIDDLE, FULL = 2_000, 500, 20
"""The collector's thresholds. It collects the young generation after this many new objects, which takes a few
milliseconds. A process that is never idle collects the middle generation after this many of those, and everything after
this many of the latter."""

LOOK_EVERY_S = 1.0
IDLE_SHARE = 0.02
"""A process that uses less than this share of a core is idle."""
REST_S = 10.0
"""The minimum time between two full collections."""


def freeze_heap() -> None:
    """Exclude everything that is alive now from garbage collection, for the life of the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, FULL)


class IdleCollector:
    """Collects everything in an idle moment, if objects have aged since the last time."""

    def __init__(self, collect: Callable[[], object] = gc.collect, look_every_s: float = LOOK_EVERY_S) -> None:
        self._collect = collect
        self._look_every_s = look_every_s
        self._looked_s, self._used_s = time.monotonic(), time.process_time()
        self._rests_until_s = self._looked_s

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(self._look_every_s)
            self.look(time.monotonic(), time.process_time(), gc.get_count())

    def look(self, now_s: float, used_s: float, counts: tuple[int, int, int]) -> None:
        """Collect if this is due: by the clock, the CPU time that the process has used, and `gc.get_count()`."""
        elapsed_s, busy_s = now_s - self._looked_s, used_s - self._used_s
        self._looked_s, self._used_s = now_s, used_s
        has_aged = counts[1] > 0 or counts[2] > 0
        if has_aged and now_s >= self._rests_until_s and busy_s < IDLE_SHARE * elapsed_s:
            self._rests_until_s = now_s + REST_S
            self._collect()
