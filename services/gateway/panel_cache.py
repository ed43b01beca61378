"""Panels in this process's memory, as they are as long as nobody says that they have changed.

Whoever reads panels to keep them calls `begin` before the questions are asked, and `put` with each answer. What changed
between the two is not kept: changes are counted, a stamp says which was a panel's last, and the fill how many there
were when it began. Stamps are shared by many users, so their number never grows; all that a shared one can cost is a
fill that was not needed to be refused.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import NamedTuple

from msgspec import Raw

from services.gateway import metrics
from services.gateway.panels import PANELS

STAMPS = 4096
ENTRY_OVERHEAD_BYTES = 600
"""What an entry takes beside its JSON: keys, tuples and the table's slot."""

_EVERY_PANEL = tuple(panel.name for panel in PANELS)


class Fill(NamedTuple):
    """A read of a user's panels under way; `at` is when its questions were asked (seconds of the cache's clock), and
    `changes` how many changes there had been by then."""

    user_id: str
    at: float
    changes: int


class Cached(NamedTuple):
    data: Raw
    age_ms: int


class _Entry(NamedTuple):
    data: Raw
    at: float
    size: int


class PanelCache:
    """Bounded by bytes; what was used longest ago goes first. Trusted only between `trust` and `distrust`.

    User ids are in their canonical text form. Every call takes microseconds and never waits.
    """

    def __init__(self, max_bytes: int, max_age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._changes = 0
        self._stamps = [0] * STAMPS
        self._trusted_since: float | None = None
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def trusted(self) -> bool:
        """Whether every change is being heard of."""
        return self._trusted_since is not None

    def trust(self) -> None:
        """Changes are heard of from now on; what was asked before now is not kept."""
        self._trusted_since = self._clock()

    def distrust(self) -> None:
        """Changes may be missed from now on: everything goes, and nothing is kept or served."""
        self._trusted_since = None
        self.clear("feed_lost")

    def clear(self, reason: str) -> None:
        """Drop everything, and what is being read now."""
        metrics.CACHE_DROPPED.counts[(reason,)] += len(self._entries)
        self._entries.clear()
        self.bytes = 0
        self._changes += 1
        self._stamps = [self._changes] * STAMPS

    def get(self, panel: str, user_id: str) -> Cached | None:
        """The panel and how old it is; None when it must be read."""
        entry = self._entries.get((panel, user_id))
        if entry is None:
            metrics.CACHE_LOOKUPS.counts[panel, "miss"] += 1
            return None
        age_s = self._clock() - entry.at
        if age_s > self._max_age_s:
            self._remove((panel, user_id), "expired")
            metrics.CACHE_LOOKUPS.counts[panel, "miss"] += 1
            return None
        self._entries.move_to_end((panel, user_id))
        metrics.CACHE_LOOKUPS.counts[panel, "hit"] += 1
        return Cached(entry.data, int(age_s * 1000))

    def begin(self, user_id: str) -> Fill:
        """Note that panels are about to be read. Needs no end."""
        return Fill(user_id, self._clock(), self._changes)

    def age_s(self, fill: Fill) -> float:
        """How long ago its questions were asked."""
        return self._clock() - fill.at

    def put(self, fill: Fill, panel: str, data: Raw) -> bool:
        """Keep what was read; false when that may be out of date already, or is too large."""
        if self._trusted_since is None or fill.at < self._trusted_since:
            return False
        key = panel, fill.user_id
        if self._stamps[hash(key) % STAMPS] > fill.changes:
            metrics.CACHE_DROPPED.counts[("stale_fill",)] += 1
            return False
        size = len(data) + ENTRY_OVERHEAD_BYTES
        known = self._entries.get(key)
        if size > self._max_bytes or (known and known.at > fill.at):
            return False
        if known:
            self.bytes -= known.size
        self._entries[key] = _Entry(data, fill.at, size)
        self._entries.move_to_end(key)
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._remove(next(iter(self._entries)), "full")
        return True

    def drop(self, user_id: str, panels: Collection[str] | None = None) -> None:
        """These panels of the user (all by default) have changed."""
        self._changes += 1
        for panel in _EVERY_PANEL if panels is None else panels:
            key = panel, user_id
            self._stamps[hash(key) % STAMPS] = self._changes
            if key in self._entries:
                self._remove(key, "changed")

    def _remove(self, key: tuple[str, str], reason: str) -> None:
        self.bytes -= self._entries.pop(key).size
        metrics.CACHE_DROPPED.counts[(reason,)] += 1
