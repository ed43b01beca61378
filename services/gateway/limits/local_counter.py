"""Counts that a request must not wait for: in memory, told to Redis now and then."""

from collections.abc import Hashable
from typing import NamedTuple

from services.gateway.limits.windows import Policy

REPORTED_FROM = 0.1
"""Whoever has used less than this part of a limit here is not worth a word to Redis: ten replicas may each let so
much through without exceeding it."""


class Cell:
    """One caller's count in a window: all of it, and what of it has been told to Redis."""

    __slots__ = ("told", "used")

    def __init__(self) -> None:
        self.used = 0
        self.told = 0


class CounterReport(NamedTuple):
    """What Redis has not heard yet of one caller."""

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
        """Who has nothing left in this window."""
        self._report_from = policy.amount * REPORTED_FROM

    def take(self, who: Hashable, now: float) -> int:
        """How many are left after this one; negative when it was one too many."""
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
        """Whether the next one would be too many."""
        return who in self.spent and now < self.ends

    def reports(self, now: float) -> list[CounterReport]:
        """Of everybody who is worth a word."""
        if now >= self.ends:
            return []
        prefix = f"limits:{self.policy.name}:{self._number}"
        return [
            CounterReport(who, f"{prefix}:{who}", cell, cell.used - cell.told)
            for who, cell in self._cells.items()
            if cell.used > cell.told and cell.used >= self._report_from
        ]

    def hear(self, report: CounterReport, everywhere: int) -> None:
        """What all replicas together have counted. A Redis that has been emptied meanwhile makes no count smaller."""
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
