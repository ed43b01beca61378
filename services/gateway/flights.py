"""Questions under way. Whoever wants the same panel of the same user joins the flight instead of asking again."""

import contextvars
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from services.gateway import metrics
from services.gateway.dashboard import Answer

FlightKey = tuple[str, str]
"""Panel and user id."""


class Waiter(Protocol):
    def arrived(self, panel: str, answer: Answer) -> None:
        """Told once by every flight that was joined and not left."""


class Flight:
    """One panel of one user on its way, and those who wait for it.

    `deadline` is the latest of those who joined (monotonic seconds). `began` is when the flight was opened: what
    changed after that may be missing from its answer. `context` is the first asker's, for traces and logs.
    """

    __slots__ = ("_abandoned", "_landed", "_waiters", "began", "context", "deadline", "panel", "user_id")

    def __init__(self, panel: str, user_id: str, abandoned: Callable[["Flight"], None]) -> None:
        self.panel = panel
        self.user_id = user_id
        self.began = time.monotonic()
        self.deadline = self.began
        self.context = contextvars.copy_context()
        self._waiters: list[Waiter] = []
        self._abandoned = abandoned
        self._landed: Callable[[Flight], None] | None = None

    @property
    def is_wanted(self) -> bool:
        return bool(self._waiters)

    def join(self, waiter: Waiter, deadline: float) -> None:
        self._waiters.append(waiter)
        if deadline > self.deadline:
            self.deadline = deadline

    def leave(self, waiter: Waiter) -> None:
        """Wait no more. The flight goes on for the others; without any, those who run it may end it."""
        self._waiters.remove(waiter)
        if not self._waiters:
            self._abandoned(self)

    def on_landing(self, landed: Callable[["Flight"], None]) -> None:
        self._landed = landed

    def land(self, answer: Answer) -> None:
        """Tell everybody who still waits."""
        if self._landed:
            self._landed(self)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.arrived(self.panel, answer)


class Flights:
    """The flights that may still be joined: at most one for each panel and user."""

    def __init__(self, begin: Mapping[str, Callable[[str], Flight]]) -> None:
        self._begin = begin
        self._open: dict[FlightKey, Flight] = {}

    def __len__(self) -> int:
        return len(self._open)

    def to(self, panel: str, user_id: str, *, anew: bool = False) -> Flight:
        """The flight under way or a new one; with `anew`, one that asks after this call in any case."""
        key = panel, user_id
        if not anew and (known := self._open.get(key)):
            metrics.FLIGHTS_JOINED.counts[panel,] += 1
            return known
        flight = self._open[key] = self._begin[panel](user_id)
        flight.on_landing(self._close)
        return flight

    def drop(self, user_id: str, panels: Collection[str] | None = None) -> None:
        """The user's panels have changed: from now on nobody joins a flight that began before.

        Those who joined already get its answer: they asked before the change.
        """
        for panel in self._begin if panels is None else panels:
            self._open.pop((panel, user_id), None)

    def _close(self, flight: Flight) -> None:
        key = flight.panel, flight.user_id
        if self._open.get(key) is flight:
            del self._open[key]
