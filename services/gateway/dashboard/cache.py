"""Panels in this process's memory, valid until a change is announced.

A reader calls `begin` before the read, and `put` with each result. Panels that changed in between are not stored:
changes are numbered, a stamp holds the number of a panel's last change, and a read remembers the number at its start.
Many users share each stamp, so the number of stamps is fixed; sharing can only cause an unnecessary read.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping

from services.gateway import metrics
from services.gateway.panels import Panel
from services.gateway.upstream.single_flight import ReadMark

STAMPS = 4096
ENTRY_OVERHEAD_BYTES = 600
"""The overhead of an entry besides its JSON: keys, tuples and the table's slot."""

Cached = tuple[bytes, int]
"""A panel's JSON, and its age in milliseconds."""
_Entry = tuple[bytes, float, int, float]
"""A panel's JSON, when it was requested and until when it is valid (monotonic seconds), and its size in bytes."""
_NOTHING: dict[str, _Entry] = {}


class PanelCache:
    """Limited by bytes; the panels of the least recently used users are evicted first. Panels whose changes are
    announced are stored only while changes are received (`enabled`).

    User ids are in their canonical text form. Every call takes microseconds and never waits.
    """

    def __init__(
        self,
        panels: tuple[Panel, ...],
        max_bytes: int,
        max_age_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._default_age_s = max_age_s
        self._max_age_s: dict[str, float] = {}
        self._needs_feed: set[str] = set()
        self._clock = clock
        self._users: OrderedDict[str, dict[str, _Entry]] = OrderedDict()
        self._count = 0
        self._changes = 0
        self._stamps = [0] * STAMPS
        self._enabled_since: float | None = None
        self.bytes = 0
        self.use(panels)

    def __len__(self) -> int:
        return self._count

    @property
    def enabled(self) -> bool:
        """Whether all changes are being received."""
        return self._enabled_since is not None

    def use(self, panels: tuple[Panel, ...]) -> None:
        """Store these panels from now on. Drops everything, including reads in flight."""
        default = self._default_age_s
        ages = {panel.name: default if panel.max_age_s is None else panel.max_age_s for panel in panels}
        self._max_age_s = {panel.name: ages[panel.name] if panel.is_cached else 0.0 for panel in panels}
        self._needs_feed = {panel.name for panel in panels if panel.needs_feed}
        self.clear("reloaded")

    def enable(self) -> None:
        """Changes are received from now on; earlier reads are not stored."""
        self._enabled_since = self._clock()

    def disable(self) -> None:
        """Changes may be missed from now on: drop what depends on them, and store and serve none of it."""
        self._enabled_since = None
        if len(self._needs_feed) == len(self._max_age_s):
            self.clear("feed_lost")
            return
        self._changes += 1
        self._stamps = [self._changes] * STAMPS
        for user_id in list(self._users):
            for panel in self._needs_feed.intersection(self._users[user_id]):
                self._remove(user_id, panel, "feed_lost")

    def clear(self, reason: str) -> None:
        """Drop everything, including reads in flight."""
        metrics.CACHE_DROPPED.counts[(reason,)] += self._count
        self._users.clear()
        self._count = self.bytes = 0
        self._changes += 1
        self._stamps = [self._changes] * STAMPS

    def get(self, panel: str, user_id: str) -> Cached | None:
        """Return the panel and its age; None if it must be read."""
        entry = self._users.get(user_id, _NOTHING).get(panel)
        if entry is None:
            metrics.CACHE_LOOKUPS.counts[panel, "miss"] += 1
            return None
        data, at, valid_until = entry[0], entry[1], entry[3]
        now = self._clock()
        if now > valid_until:
            self._remove(user_id, panel, "expired")
            metrics.CACHE_LOOKUPS.counts[panel, "miss"] += 1
            return None
        self._users.move_to_end(user_id)
        metrics.CACHE_LOOKUPS.counts[panel, "hit"] += 1
        return data, int((now - at) * 1000)

    def get_all(self, panels: Collection[str], user_id: str) -> list[Cached] | None:
        """Return all panels; None if one must be read. Lookups are not counted."""
        known = self._users.get(user_id)
        if known is None:
            return None
        now = self._clock()
        found: list[Cached] = []
        for panel in panels:
            entry = known.get(panel)
            if entry is None or now > entry[3]:
                return None
            found.append((entry[0], int((now - entry[1]) * 1000)))
        self._users.move_to_end(user_id)
        return found

    def begin(self, user_id: str) -> ReadMark:
        """Record that panels are about to be read. Needs no end."""
        return ReadMark(user_id, self._clock(), self._changes)

    def put(self, mark: ReadMark, panels: Mapping[str, bytes]) -> int:
        """Store the panels that were read, except outdated and oversized ones; return how many were stored."""
        is_enabled = self._enabled_since is not None and mark.at >= self._enabled_since
        if not is_enabled and len(self._needs_feed) == len(self._max_age_s):
            return 0
        user_id, kept = mark.user_id, 0
        known = self._users.get(user_id)
        if known is None:
            known = self._users[user_id] = {}
        stamps, changes, at = self._stamps, mark.changes, mark.at
        for panel, data in panels.items():
            max_age_s = self._max_age_s.get(panel, 0.0) if is_enabled or panel not in self._needs_feed else 0.0
            if stamps[hash((panel, user_id)) % STAMPS] > changes:
                metrics.CACHE_DROPPED.counts[("stale_fill",)] += 1
                continue
            size = len(data) + ENTRY_OVERHEAD_BYTES
            before = known.get(panel)
            if not max_age_s or size > self._max_bytes or (before is not None and before[1] > at):
                continue
            if before is None:
                self._count += 1
                self.bytes += size
            else:
                self.bytes += size - before[2]
            known[panel] = data, at, size, at + max_age_s
            kept += 1
        if known:
            self._users.move_to_end(user_id)
        else:
            del self._users[user_id]
        while self.bytes > self._max_bytes:
            oldest = next(iter(self._users))
            for panel in list(self._users[oldest]):
                self._remove(oldest, panel, "full")
        return kept

    def drop(self, user_id: str, panels: Collection[str] | None = None) -> None:
        """These panels of the user (all by default) have changed."""
        self._changes += 1
        known = self._users.get(user_id, _NOTHING)
        for panel in self._max_age_s if panels is None else panels:
            self._stamps[hash((panel, user_id)) % STAMPS] = self._changes
            if panel in known:
                self._remove(user_id, panel, "changed")

    def _remove(self, user_id: str, panel: str, reason: str) -> None:
        known = self._users[user_id]
        self.bytes -= known.pop(panel)[2]
        self._count -= 1
        if not known:
            del self._users[user_id]
        metrics.CACHE_DROPPED.counts[(reason,)] += 1
