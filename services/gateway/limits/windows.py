"""Rate limit policies, their headers, and the counters for which no request waits: in memory, reported to Redis
periodically.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

import limits

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Policy:
    """A number of requests in a window of a number of seconds. Windows begin at multiples of their length, on every
    replica at the same time.

    `header` is `RateLimit-Policy`, as defined in draft-ietf-httpapi-ratelimit-headers-10. `line` is a template of
    `RateLimit`, with the remaining requests and the seconds until the window ends; `lines` is a template of both
    headers as bytes on the wire.
    """

    name: str
    amount: int
    seconds: int
    header: Header = field(init=False)
    line: bytes = field(init=False)
    lines: bytes = field(init=False)

    def __post_init__(self) -> None:
        policy = f'"{self.name}";q={self.amount};w={self.seconds}'.encode()
        object.__setattr__(self, "header", (b"ratelimit-policy", policy))
        object.__setattr__(self, "line", f'"{self.name}";r=%d;t=%d'.encode())
        object.__setattr__(self, "lines", b"%s: %s\r\nratelimit: %s\r\n" % (*self.header, self.line))

    @classmethod
    def parse(cls, name: str, notation: str) -> "Policy | None":
        """Parse the notation of settings, such as `10/minute` or `20 per 5 minutes`; None if empty. Raises
        `ValueError`."""
        if not notation.strip():
            return None
        item = limits.parse(notation)
        return cls(name, item.amount, item.get_expiry())

    def headers(self, left: int, now: float) -> tuple[Header, Header]:
        """Return both headers."""
        return self.header, (b"ratelimit", self.line % (max(0, left), self.window(now)[1] + 1))

    def window(self, now: float) -> tuple[int, float]:
        """Return the number of the window at that moment, and the seconds until it ends."""
        number = int(now // self.seconds)
        return number, (number + 1) * self.seconds - now


REPORTED_FROM = 0.1
"""Below this share of the limit, count locally and do not call Redis: ten replicas may each admit this much without
exceeding the limit."""


class Cell:
    """One caller's count in a window: the total, and the part that has been reported to Redis."""

    __slots__ = ("reported", "used")

    def __init__(self) -> None:
        self.used = 0
        self.reported = 0


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
            CounterReport(who, f"{prefix}:{who}", cell, cell.used - cell.reported)
            for who, cell in self._cells.items()
            if cell.used > cell.reported and cell.used >= self._report_from
        ]

    def hear(self, report: CounterReport, everywhere: int) -> None:
        """Store the total of all replicas. If Redis has been emptied since, no count decreases."""
        cell, more = report.cell, report.more
        since = cell.used - cell.reported - more
        cell.used = max(cell.used, everywhere + since)
        cell.reported = cell.used - since
        if cell.used >= self.policy.amount and self._cells.get(report.who) is cell:
            self.spent.add(report.who)

    def _begin(self, now: float) -> None:
        self._number, left = self.policy.window(now)
        self.ends = now + left
        self._cells = {}
        self.spent.clear()
