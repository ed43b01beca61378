"""Counters for which a request must not wait: in memory, reported to Redis periodically."""

from collections.abc import Hashable
from typing import NamedTuple

from services.gateway.limits.windows import Policy

REPORTED_FROM = 0.1
"""Below this share of the limit, count locally and do not call Redis: ten replicas may each admit this much without
exceeding the limit."""


class Cell:
    """One caller's count in a window: the total, and the part that has been reported to Redis."""

    __slots__ = ("told", "used")

    def __init__(self) -> None:
        self.used = 0
        self.told = 0


class CounterReport(NamedTuple):
    """The part of one caller's count that has not been reported to Redis."""

    who: Hashable
    key: str
    cell: Cell
    more: int


class LocalWindow:
    """The counts of the current window, by caller."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.ends = 0.0
        self._number = 0
        self._cells: dict[Hashable, Cell] = {}
        self.spent: set[Hashable] = set()
        """Callers that have used up their limit in this window."""
        self._report_from = policy.amount * REPORTED_FROM

    def take(self, who: Hashable, now: float) -> int:
        """Count one, and return how many are left; negative if it exceeds the limit."""
        if now >= self.ends:
            self._begin(now)
        cell = self._cells.get(who)
        if cell is None:
            cell = self._cells[who] = Cell()
        cell.used += 1
        left = self.policy.amount - cell.used
        if left <= 0:
            self.spent.add(who)
        return left

    def is_spent(self, who: Hashable, now: float) -> bool:
        """Return whether the next one would exceed the limit."""
        return who in self.spent and now < self.ends

    def reports(self, now: float) -> list[CounterReport]:
        """Return the unreported counts of all callers above the threshold."""
        if now >= self.ends:
            return []
        prefix = f"limits:{self.policy.name}:{self._number}"
        return [
            CounterReport(who, f"{prefix}:{who}", cell, cell.used - cell.told)
            for who, cell in self._cells.items()
            if cell.used > cell.told and cell.used >= self._report_from
        ]

    def hear(self, report: CounterReport, everywhere: int) -> None:
        """Store the total of all replicas. If Redis has been emptied meanwhile, no count decreases."""
        cell, more = report.cell, report.more
        since = cell.used - cell.told - more
        cell.used = max(cell.used, everywhere + since)
        cell.told = cell.used - since
        if cell.used >= self.policy.amount and self._cells.get(report.who) is cell:
            self.spent.add(report.who)

    def _begin(self, now: float) -> None:
        self._number, left = self.policy.window(now)
        self.ends = now + left
        self._cells = {}
        self.spent.clear()
