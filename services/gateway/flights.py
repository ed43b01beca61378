"""Questions under way. Whoever wants the same panel of the same user joins the flight instead of asking again.

Joining shortens nobody's wait: a flight that has left is joined only by callers who wait no longer than the service was
given for it.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextvars import Context
from typing import Protocol

from services.gateway import metrics
from services.gateway.dashboard import Answer
from services.gateway.panel_cache import Fill
from shared.telemetry import Trace


class Waiter(Protocol):
    def arrived(self, panel: str, answer: Answer) -> None:
        """Told once by every flight that was joined and not left."""


Landed = Callable[["Flight", Answer], None]


class Flight:
    """One panel of one user on its way, and those who wait for it.

    `deadline` is the latest of those who joined (monotonic seconds), `patience_s` the longest wait of those for whom it
    was opened, `told` the deadline that the service was told when it left; None before that. `fill` says when the
    flight was opened: what changed after that may be missing from its answer. `context` is the first asker's, for logs.
    Of recorded traces: `asker` is the panel of the first who asked, `carrier` the one that the call belongs to.
    """

    __slots__ = (
        "_abandoned",
        "_landed",
        "_waiters",
        "asker",
        "carrier",
        "context",
        "deadline",
        "fill",
        "panel",
        "patience_s",
        "told",
        "user_id",
    )

    def __init__(self, panel: str, fill: Fill, context: Context, abandoned: Callable[["Flight"], None]) -> None:
        self.panel = panel
        self.user_id = fill.user_id
        self.fill = fill
        self.context = context
        self.deadline = 0.0
        self.patience_s = 0.0
        self.told: float | None = None
        self.asker: Trace | None = None
        self.carrier: Trace | None = None
        self._waiters: list[Waiter] = []
        self._abandoned = abandoned
        self._landed: Landed | None = None

    @property
    def is_wanted(self) -> bool:
        return bool(self._waiters)

    def serves(self, now: float, patience_s: float) -> bool:
        """Whether a caller who waits so long from now is waited for here as long as by a question of their own."""
        return self.told is None or (patience_s <= self.patience_s and now < self.told)

    def join(self, waiter: Waiter, deadline: float) -> None:
        self._waiters.append(waiter)
        if deadline > self.deadline:
            self.deadline = deadline

    def leave(self, waiter: Waiter) -> None:
        """Wait no more. The flight goes on for the others; without any, those who run it may end it."""
        self._waiters.remove(waiter)
        if not self._waiters:
            self._abandoned(self)

    def on_landing(self, landed: Landed) -> None:
        self._landed = landed

    def land(self, answer: Answer) -> None:
        """Tell everybody who still waits."""
        if self._landed:
            self._landed(self, answer)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.arrived(self.panel, answer)


Begin = Callable[[Fill, Context], Flight]


class Flights:
    """The flights that may still be joined: at most one for each panel and user.

    `keep` is told what each flight brings, once, however many have joined it.
    """

    def __init__(self, begin: Mapping[str, Begin], keep: Landed, clock: Callable[[], float] = time.monotonic) -> None:
        self._begin = begin
        self._keep = keep
        self._clock = clock
        self._open: dict[str, dict[str, Flight]] = {panel: {} for panel in begin}

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def to(self, panel: str, fill: Fill, context: Context, patience_s: float = 0.0, *, anew: bool = False) -> Flight:
        """A flight for a caller who waits so long: the one under way or a new one; with `anew`, one that asks after
        this call in any case."""
        flights = self._open[panel]
        known = None if anew else flights.get(fill.user_id)
        if known is not None and known.serves(self._clock(), patience_s):
            if known.told is None:
                known.patience_s = max(known.patience_s, patience_s)
            metrics.FLIGHTS_JOINED.counts[panel,] += 1
            return known
        flight = flights[fill.user_id] = self._begin[panel](fill, context)
        flight.patience_s = max(flight.patience_s, patience_s)
        flight.on_landing(self._close)
        return flight

    def drop(self, user_id: str, panels: Collection[str] | None = None) -> None:
        """The user's panels have changed: from now on nobody joins a flight that began before.

        Those who joined already get its answer: they asked before the change.
        """
        for panel in self._open if panels is None else panels:
            if flights := self._open.get(panel):
                flights.pop(user_id, None)

    def drop_all(self) -> None:
        """Anything may have changed: from now on nobody joins a flight that began before."""
        for flights in self._open.values():
            flights.clear()

    def _close(self, flight: Flight, answer: Answer) -> None:
        flights = self._open[flight.panel]
        if flights.get(flight.user_id) is flight:
            del flights[flight.user_id]
        self._keep(flight, answer)
