"""How many requests may be in hand at once: as many as the event loop keeps up with.

The sign of too many is the loop's own lag, how late a timer fires. It counts what this process queues, and nothing of
the time that services take: one that hangs makes requests last, not the loop late. As in CoDel (RFC 8289) it is the
*least* lag of a window that counts. A burst, a garbage collection or a neighbour on the processor makes the loop late
for a moment; a queue that stands makes it late at every look. Then the limit becomes a part of what was in hand, the
smaller the later it was; else it grows as long as it is made use of. What is over the limit is refused at once.
"""

import asyncio
import time

from services.gateway import metrics
from services.gateway.admission.kinds import LATER, Kind
from services.gateway.settings import Settings

LOOKS = 2
"""A window has so many looks at the loop, at least."""
SHRINK, SHRINK_MOST = 0.9, 0.3
GROW, GROW_FREE = 1.1, 1.5
"""The second where the loop is not late by half of what it may be."""
USED_SHARE = 0.5
"""The limit grows only while more than this part of it is in use."""
FIRST_COST_S, NEW_COST_SHARE = 0.001, 0.3
"""What a request is taken to cost before any was answered, and how much a window tells of it."""
TELLING = 10
"""Requests in a window from which on it tells what they cost."""


class Overload:
    """`in_hand` is counted by whoever lets requests in, from when they have come, not from when they are begun. Those
    of `LASTING` kinds are looked at when they come, and not counted. Below `watched_from` nothing is refused."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.shed_most_in_hand
        self._least = min(settings.shed_least_in_hand, self._most)
        self._lag_s = settings.shed_lag_s
        self._burst_s = settings.shed_burst_s
        self._share = settings.shed_later_share
        self._tick_s = settings.shed_tick_s
        self._window_s = settings.shed_window_s
        self._cost_s = FIRST_COST_S
        self._standing = float(self._most) or float("inf")
        self.in_hand = 0
        self._allow(self._standing)
        self._begin(0)

    def is_full(self, kind: Kind) -> bool:
        """Whether a request of that kind is refused now."""
        return self.in_hand >= (self.watched_from if kind in LATER else self.limit)

    def enter(self) -> None:
        """One more in hand."""
        self.in_hand += 1
        if self.in_hand > self._peak:
            self._peak = self.in_hand

    def leave(self) -> None:
        """It has been answered, or was none to be counted."""
        self.in_hand -= 1
        self._done += 1

    def look(self, lag_s: float, used_s: float, now: float) -> None:
        """The loop was so late, at that moment, and the process has used so much of the processor since the last look;
        all in seconds. What it was kept waiting for the processor is no work of its own."""
        lag_s = min(lag_s, used_s)
        self._looks += 1
        self._lag = min(self._lag, lag_s)
        self._used_s += used_s
        if now - self._began >= self._window_s and self._looks >= LOOKS:
            self._adjust()
            self._begin(now)
        late = lag_s > self._lag_s
        self._allow(min(self._standing, max(self._least, self._burst_s / self._cost_s)) if late else self._standing)

    def _begin(self, now: float) -> None:
        self._began: float = now
        self._looks, self._done = 0, 0
        self._peak: int = self.in_hand
        self._lag: float = float("inf")
        self._used_s: float = 0

    def _adjust(self) -> None:
        if self._done >= TELLING:
            self._cost_s += NEW_COST_SHARE * (self._used_s / self._done - self._cost_s)
        if self._lag > self._lag_s:
            if self.in_hand <= self._standing:  # else what was let in before is being worked off
                part = min(SHRINK, max(SHRINK_MOST, self._lag_s / self._lag))
                self._standing = max(self._least, min(self._standing, self._peak) * part)
        elif self._peak > self._standing * USED_SHARE:
            grow = GROW if self._lag > self._lag_s / 2 else GROW_FREE
            self._standing = min(self._most, self._standing * grow + 1)
        metrics.LOOP_LAG.set(self._lag)

    def _allow(self, limit: float) -> None:
        self.limit = limit
        self.watched_from = limit * self._share

    async def watch(self) -> None:
        """Look at the loop's lag, until cancelled."""
        metrics.IN_HAND.set_function(lambda: self.in_hand)
        metrics.IN_HAND_LIMIT.set_function(lambda: self.limit)
        began, used = time.perf_counter(), time.process_time()
        while self._most:
            await asyncio.sleep(self._tick_s)
            now, now_used = time.perf_counter(), time.process_time()  # the loop's own clock stands still while it works
            self.look(max(0.0, now - began - self._tick_s), now_used - used, now)
            began, used = now, now_used
