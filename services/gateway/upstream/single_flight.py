"""In-flight reads. A request for panels that are being read for the same user joins the read instead of starting
another.

Joining shortens no caller's wait: a read that has been sent is joined only by callers that wait no longer than the
service was given for it. Nor does it make one longer: while calls to a service are suspended, those that are still in
flight are not joined.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import msgspec

from services.gateway import metrics
from services.gateway.panels import Panel, Subject, by_runner
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.resilience import Call
from services.gateway.upstream.timers import GRAIN_S
from shared.observability.telemetry import Origin, Trace


class ReadMark(msgspec.Struct, frozen=True, gc=False):
    """An in-flight read of a user's panels; `at` is when it was requested (monotonic seconds), and `changes` how
    many changes of any panels the cache had received by then."""

    user_id: str
    at: float
    changes: int


class Waiter(Protocol):
    """`began` and `ends` are monotonic seconds: it waits for no panel longer than that."""

    began: float
    ends: float

    def arrived(self, read: "InFlightRead", answers: Mapping[str, Answer]) -> None:
        """Receives a read's results by panel, each once. It ignores panels for which it does not wait for this read."""


class InFlightRead:
    """Panels of one user that are being read, and the callers that wait for them, each with its own deadline.

    `mark` says when the read began: later changes may be missing from its results. `origin` is the first caller. Of
    recorded traces: `askers` are the panels of the first caller, `carriers` those that own the call.
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
        "joined",
        "mark",
        "origin",
        "panels",
        "sent",
        "subject",
        "user_id",
        "waiters",
    )

    def __init__(
        self, flight: "SingleFlight", panels: tuple[Panel, ...], mark: ReadMark, origin: Origin, subject: Subject | None
    ) -> None:
        self.user_id = mark.user_id
        self.subject = subject
        self.mark = mark
        self.origin = origin
        self.panels = panels
        self.answers: dict[str, Answer] = {}
        self.waiters: list[Waiter] = []
        self.calls: dict[str, Call] = {}
        """By service, the batched call that reads its panels, once it has been sent."""
        self.sent: dict[str, tuple[float, float]] = {}
        """By runner, when it was sent and the deadline it was given (monotonic seconds)."""
        self.budget_s = self.ends = self.joined = 0.0
        self.askers: dict[str, Trace] = {}
        self.carriers: dict[str, Trace] = {}
        self._left = len(panels)
        self._flight = flight

    @property
    def known_as(self) -> str:
        """The user's id at services."""
        return self.user_id if self.subject is None else self.subject.id

    def join(self, waiter: Waiter) -> None:
        """Give it the results as they arrive."""
        if waiter in self.waiters:
            return
        self.waiters.append(waiter)
        self.joined = waiter.began
        if waiter.ends > self.ends:
            self.ends = waiter.ends
        self.budget_s = max(self.budget_s, waiter.ends - waiter.began)

    def leave(self, waiter: Waiter) -> None:
        """Stop waiting. The read continues for the others; without any it ends."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)
            if not self.waiters:
                self._flight.abandoned(self)

    def deadline(self, timeout_s: float) -> float:
        """Return until when any caller waits for a panel with that timeout."""
        return min(self.ends, self.joined + timeout_s)

    def serves(self, panel: Panel, now: float, budget_s: float) -> bool:
        """Return whether a caller with that budget would wait here as long as with a read of its own."""
        sent = self.sent.get(panel.runner)
        if sent is None:
            return True
        began, deadline = sent
        return now < deadline and min(budget_s, panel.timeout_s) <= deadline - began + GRAIN_S

    def resolve(self, answers: Mapping[str, Answer]) -> None:
        """Notify all callers that still wait."""
        self.answers.update(answers)
        self._left -= len(answers)
        if not self._left:
            self._flight.resolved(self)
        for waiter in self.waiters[:]:
            waiter.arrived(self, answers)


class Runner(Protocol):
    """Reads the panels of one service."""

    @property
    def is_suspended(self) -> bool:
        """Whether the service is not called at present: a new read fails at once."""

    def add(self, read: InFlightRead, panels: tuple[Panel, ...]) -> None:
        """Send them with the next call."""

    def abandon(self, read: InFlightRead) -> None:
        """No caller waits for it any more."""


class SingleFlight:
    """The reads that may still be joined: at most one for each panel and user.

    `keep` is called once with the results of each read, however many callers have joined it.
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
        """The number of panels that are being read and may be joined."""
        return sum(map(len, self._open.values()))

    def reads(
        self,
        panels: tuple[Panel, ...],
        mark: ReadMark,
        budget_s: float,
        origin: Origin,
        *,
        no_cache: bool = False,
        subject: Subject | None = None,
    ) -> dict[str, InFlightRead]:
        """Return a read for each panel: one in flight that suits the budget, otherwise, or with `no_cache`, a new one.
        `subject`: as services know the user, if not by the id alone."""
        known = self._open.get(mark.user_id)
        if known is None:
            return self._begin(panels, mark, origin, subject)
        found: dict[str, InFlightRead] = {}
        now = self._clock()
        for panel in panels:
            read = known.get(panel.name)
            if read is None:
                continue
            answer = read.answers.get(panel.name)
            if answer is not None and answer.is_failure:
                continue
            has_left = panel.runner in read.sent
            if has_left and answer is None and self._runners[panel.runner].is_suspended:
                continue
            if not has_left or (not no_cache and read.serves(panel, now, budget_s)):
                found[panel.name] = read
                metrics.FLIGHTS_JOINED.counts[panel.name,] += not no_cache
        if len(found) == len(panels):
            return found
        return found | self._begin(tuple([panel for panel in panels if panel.name not in found]), mark, origin, subject)

    def drop(self, user_id: str, panels: Collection[str] | None = None) -> None:
        """The user's panels have changed: from now on no caller joins a read that began before.

        Callers that have joined already get its result: they requested it before the change.
        """
        known = self._open.get(user_id)
        if known is None:
            return
        for panel in list(known) if panels is None else panels:
            known.pop(panel, None)
        if not known:
            del self._open[user_id]

    def drop_all(self) -> None:
        """Anything may have changed: from now on no caller joins a read that began before."""
        self._open.clear()

    def resolved(self, read: InFlightRead) -> None:
        """All results have arrived."""
        self._close(read)
        self._keep(read)

    def abandoned(self, read: InFlightRead) -> None:
        """No caller waits for it any more. Results that have arrived are cached."""
        self._close(read)
        for runner, _ in by_runner(read.panels):
            self._runners[runner].abandon(read)
        if read.answers:
            self._keep(read)
            read.answers = {}

    def _begin(
        self, panels: tuple[Panel, ...], mark: ReadMark, origin: Origin, subject: Subject | None
    ) -> dict[str, InFlightRead]:
        read = InFlightRead(self, panels, mark, origin, subject)
        new = dict.fromkeys([panel.name for panel in panels], read)
        known = self._open.get(mark.user_id)
        self._open[mark.user_id] = new.copy() if known is None else known | new
        for runner, group in by_runner(panels):
            self._runners[runner].add(read, group)
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
