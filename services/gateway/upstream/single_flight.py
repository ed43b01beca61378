"""Reads under way. Whoever wants the same panels of the same user joins the read instead of asking again.

Joining shortens nobody's wait: a read that has left is joined only by callers who wait no longer than the service was
given for it.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from services.gateway import metrics
from services.gateway.panels import Panel, by_service
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.resilience import Call
from services.gateway.upstream.timers import GRAIN_S
from shared.observability.telemetry import Origin, Trace


class ReadMark(msgspec.Struct, frozen=True, gc=False):
    """A read of a user's panels under way; `at` is when its questions were asked (monotonic seconds), and `changes` how
    many changes of any panels the cache had heard of by then."""

    user_id: str
    at: float
    changes: int


class Waiter(Protocol):
    """`began` and `ends` are monotonic seconds: it waits for no panel longer than that."""

    began: float
    ends: float

    def arrived(self, answers: Mapping[str, Answer]) -> None:
        """Answers by panel, each told once. It ignores those that it does not wait for."""


class InFlightRead:
    """Panels of one user on their way, and those who wait for them, each within their own deadline.

    `fill` says when the read began: what changed after that may be missing from its answers. `origin` is the first who
    asked. Of recorded traces: `askers` are the panels of the first who asked, `carriers` those whose call it is.
    """

    __slots__ = (
        "_flight",
        "_left",
        "answers",
        "askers",
        "budget_s",
        "calls",
        "carriers",
        "ends",
        "fill",
        "joined",
        "origin",
        "panels",
        "user_id",
        "waiters",
    )

    def __init__(self, flight: "SingleFlight", panels: tuple[Panel, ...], fill: ReadMark, origin: Origin) -> None:
        self.user_id = fill.user_id
        self.fill = fill
        self.origin = origin
        self.panels = panels
        self.answers: dict[str, Answer] = {}
        self.waiters: list[Waiter] = []
        self.calls: dict[str, Call] = {}
        """By service, the call that brings its panels, once that has left."""
        self.budget_s = self.ends = self.joined = 0.0
        self.askers: dict[str, Trace] = {}
        self.carriers: dict[str, Trace] = {}
        self._left = len(panels)
        self._flight = flight

    def join(self, waiter: Waiter) -> None:
        """Have it told what arrives."""
        if waiter in self.waiters:
            return
        self.waiters.append(waiter)
        self.joined = waiter.began
        if waiter.ends > self.ends:
            self.ends = waiter.ends
        self.budget_s = max(self.budget_s, waiter.ends - waiter.began)

    def leave(self, waiter: Waiter) -> None:
        """Wait no more. The read goes on for the others; without any it ends."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)
            if not self.waiters:
                self._flight.abandoned(self)

    def deadline(self, timeout_s: float) -> float:
        """Until when anybody waits for a panel with that timeout, at most."""
        return min(self.ends, self.joined + timeout_s)

    def serves(self, panel: Panel, now: float, budget_s: float) -> bool:
        """Whether a caller with that budget is waited for here as long as by a question of their own."""
        call = self.calls.get(panel.service)
        if call is None:
            return True
        given_s = call.told - call.began + GRAIN_S
        return now < call.told and min(budget_s, panel.timeout_s) <= given_s

    def land(self, answers: Mapping[str, Answer]) -> None:
        """Tell everybody who still waits."""
        self.answers.update(answers)
        self._left -= len(answers)
        if not self._left:
            self._flight.landed(self)
        for waiter in self.waiters[:]:
            waiter.arrived(answers)


class Runner(Protocol):
    """Has the panels of one service read."""

    def add(self, read: InFlightRead, panels: tuple[Panel, ...]) -> None:
        """Let them leave with the next call."""

    def abandon(self, read: InFlightRead) -> None:
        """Nobody waits for it any more."""


class SingleFlight:
    """The reads that may still be joined: at most one for each panel and user.

    `keep` is told what each read has brought, once, however many have joined it.
    """

    def __init__(
        self,
        runners: Mapping[str, Runner],
        keep: Callable[[InFlightRead], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runners = runners
        self._keep = keep
        self._clock = clock
        self._open: dict[str, dict[str, InFlightRead]] = {}

    def __len__(self) -> int:
        """Panels that are on their way, and may be joined."""
        return sum(map(len, self._open.values()))

    def reads(
        self, panels: tuple[Panel, ...], fill: ReadMark, budget_s: float, origin: Origin, *, no_cache: bool = False
    ) -> dict[str, InFlightRead]:
        """Return a read for each panel: one in flight that suits the budget, else, or with `no_cache`, a new one."""
        known = self._open.get(fill.user_id)
        if known is None:
            return self._begin(panels, fill, origin)
        found: dict[str, InFlightRead] = {}
        now = self._clock()
        for panel in panels:
            read = known.get(panel.name)
            if read is None or ((answer := read.answers.get(panel.name)) is not None and answer.is_failure):
                continue
            has_left = panel.service in read.calls
            if not has_left or (not no_cache and read.serves(panel, now, budget_s)):
                found[panel.name] = read
                metrics.FLIGHTS_JOINED.counts[panel.name,] += not no_cache
        if len(found) == len(panels):
            return found
        return found | self._begin(tuple([panel for panel in panels if panel.name not in found]), fill, origin)

    def drop(self, user_id: str, panels: Collection[str] | None = None) -> None:
        """The user's panels have changed: from now on nobody joins a read that began before.

        Those who joined already get its answer: they asked before the change.
        """
        known = self._open.get(user_id)
        if known is None:
            return
        for panel in list(known) if panels is None else panels:
            known.pop(panel, None)
        if not known:
            del self._open[user_id]

    def drop_all(self) -> None:
        """Anything may have changed: from now on nobody joins a read that began before."""
        self._open.clear()

    def landed(self, read: InFlightRead) -> None:
        """All of it has arrived."""
        self._close(read)
        self._keep(read)

    def abandoned(self, read: InFlightRead) -> None:
        """Nobody waits for it any more. What has arrived is kept."""
        self._close(read)
        for service, _ in by_service(read.panels):
            self._runners[service].abandon(read)
        if read.answers:
            self._keep(read)
            read.answers = {}

    def _begin(self, panels: tuple[Panel, ...], fill: ReadMark, origin: Origin) -> dict[str, InFlightRead]:
        read = InFlightRead(self, panels, fill, origin)
        new = dict.fromkeys([panel.name for panel in panels], read)
        known = self._open.get(fill.user_id)
        self._open[fill.user_id] = new.copy() if known is None else known | new
        for service, group in by_service(panels):
            self._runners[service].add(read, group)
        return new

    def _close(self, read: InFlightRead) -> None:
        known = self._open.get(read.user_id)
        if known is None:
            return
        for panel in read.panels:
            if known.get(panel.name) is read:
                del known[panel.name]
        if not known:
            del self._open[read.user_id]


def largest_deadline(reads: Sequence[InFlightRead], timeout_s: float) -> float:
    """Until when anybody waits for any of these."""
    return max([read.deadline(timeout_s) for read in reads])
