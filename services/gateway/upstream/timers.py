"""One event loop timer for all waits: a timer for each would cost more than most waits last."""

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import Protocol

GRAIN_S = 0.002
"""Event loops keep time by the millisecond: a timer may fire this much too early."""


class Waiting(Protocol):
    """`due` is when it must be checked (monotonic seconds)."""

    due: float

    def look(self, now: float) -> None:
        """It is due; it sets `due` again, or is removed."""


class Timers:
    """Checks each wait when it is due, until it is removed. `due` may only increase between two checks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._waiting: dict[Waiting, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = inf

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiting: Waiting) -> None:
        self._waiting[waiting] = None
        if waiting.due < self._next:
            self._set(waiting.due)

    def remove(self, waiting: Waiting) -> None:
        """The timer stays: most waits are removed long before they are due, and others are due then."""
        self._waiting.pop(waiting, None)

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - self.clock()), self._fire)

    def _fire(self) -> None:
        self._next, self._timer = inf, None
        now = self.clock() + GRAIN_S
        for each in [each for each in self._waiting if each.due <= now]:
            if each in self._waiting:
                each.look(now)
        if self._waiting:
            first = min([each.due for each in self._waiting])
            if first < self._next and first < inf:
                self._set(first)
