"""How many requests may be in hand at once: as many as the event loop keeps up with.

The sign of too many is the loop's own lag, how late a timer fires. It counts what this process queues, and nothing of
the time that services take: one that hangs makes requests last, not the loop late. Late twice running, and the limit
becomes a part of what was in hand, the smaller the later it was; on time and nearly used, it grows. What is over the
limit is refused at once.
"""

import asyncio

from services.gateway import metrics
from services.gateway.admission.kinds import LATER, Kind
from services.gateway.settings import Settings
from shared.pools import POOLS

LATE_TICKS = 2
SHRINK, SHRINK_MOST, GROW = 0.8, 0.1, 1.05
USED_SHARE = 0.5
"""The limit grows only while more than this part of it is in use."""


class Overload:
    """`in_hand` is counted by whoever lets requests in; those of `LASTING` kinds are looked at when they come, and not
    counted. Below `watched_from` nothing is refused."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.shed_most_in_hand
        self._least = min(settings.shed_least_in_hand, self._most)
        self._lag_s = settings.shed_lag_s
        self._share = settings.shed_later_share
        self._tick_s = settings.shed_tick_s
        self._late = 0
        self.in_hand = 0
        self._allow(self._most or float("inf"))
        POOLS.watch("requests", lambda: self.in_hand, lambda: self.limit if self._most else None)

    def is_full(self, kind: Kind) -> bool:
        """Whether a request of that kind is refused now."""
        return self.in_hand >= (self.watched_from if kind in LATER else self.limit)

    def adjust(self, lag_s: float) -> None:
        """The loop was so late."""
        self._late = self._late + 1 if lag_s > self._lag_s else 0
        if self._late >= LATE_TICKS:
            part = min(SHRINK, max(SHRINK_MOST, self._lag_s / lag_s))
            self._allow(max(self._least, min(self.limit, self.in_hand) * part))
        elif self._late == 0 and self.in_hand > self.limit * USED_SHARE:
            self._allow(min(self._most, self.limit * GROW + 1))

    def _allow(self, limit: float) -> None:
        self.limit = limit
        self.watched_from = limit * self._share

    async def watch(self) -> None:
        """Look at the loop's lag, until cancelled."""
        loop = asyncio.get_running_loop()
        while self._most:
            due = loop.time() + self._tick_s
            await asyncio.sleep(self._tick_s)
            lag_s = max(0.0, loop.time() - due)
            self.adjust(lag_s)
            metrics.LOOP_LAG.set(lag_s)
            metrics.IN_HAND.set(self.in_hand)
            metrics.IN_HAND_LIMIT.set(self.limit)
