"""The wait of one dashboard for its panels."""

from collections.abc import Mapping
from math import inf

from mypy_extensions import mypyc_attr

from services.gateway.panels import Panel
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.single_flight import InFlightRead
from services.gateway.upstream.timers import Timers

TIMED_OUT = Answer(error="timeout")
RECALL_SHARE = 0.2
"""The part of a short budget that is reserved for reading last known good values."""


@mypyc_attr(allow_interpreted_subclasses=True)
class PanelWait:
    """Collects a result for every panel, each within its own deadline, and then calls `done`."""

    def __init__(self, timers: Timers, budget_s: float) -> None:
        self._timers = timers
        self._awaited: dict[str, InFlightRead] = {}
        self._panels: tuple[Panel, ...] = ()
        self.budget_s = budget_s
        self.began = timers.clock()
        self.ends = self.due = self.began + budget_s
        self.answers: dict[str, Answer] = {}
        self.seconds: dict[str, float] = {}
        """How long each result was waited for."""
        self.is_given_up = False

    @property
    def is_waiting(self) -> bool:
        return bool(self._awaited)

    def done(self) -> None:
        """All results are there, or the wait was abandoned."""

    def put(self, panel: str, answer: Answer) -> None:
        """Add a result that is known without a call."""
        self.answers[panel] = answer
        self.seconds[panel] = 0.0

    def expect(self, panels: tuple[Panel, ...], reads: Mapping[str, InFlightRead]) -> None:
        """Wait for these panels, each for at most its own timeout. Parts of a read may have arrived already."""
        self._panels = panels
        self._awaited.update(reads)
        joined: InFlightRead | None = None
        for read in reads.values():
            if read is not joined:
                read.join(self)
                joined = read
        self.due = min(self.due, self.began + min([panel.timeout_s for panel in panels]))
        self._timers.add(self)
        here = {name: read.answers[name] for name, read in reads.items() if name in read.answers}
        if here:
            self._accept(here)

    def arrived(self, read: InFlightRead, answers: Mapping[str, Answer]) -> None:
        """Accept the results for which this read is waited for. It may have others, of panels that have changed since
        it began: for those a later read is waited for."""
        awaited = self._awaited
        found = {name: answer for name, answer in answers.items() if awaited.get(name) is read}
        if found:
            self._accept(found)

    def _accept(self, answers: Mapping[str, Answer]) -> None:
        awaited = self._awaited
        took = self._timers.clock() - self.began
        for name, answer in answers.items():
            del awaited[name]
            self.answers[name] = answer
            self.seconds[name] = took
        if not awaited:
            self._timers.remove(self)
            self.done()

    def look(self, now: float) -> None:
        """Time out overdue panels and schedule the next check."""
        deadlines = {panel.name: min(self.ends, self.began + panel.timeout_s) for panel in self._panels}
        late = [name for name in self._awaited if deadlines[name] <= now]
        left = {self._awaited[name] for name in late}
        self.due = min([deadlines[name] for name in self._awaited if name not in late], default=inf)
        if late:
            self._accept(dict.fromkeys(late, TIMED_OUT))
        for read in left - set(self._awaited.values()):
            read.leave(self)

    def give_up(self) -> None:
        """Leave all reads: the results are no longer needed."""
        reads, self._awaited = set(self._awaited.values()), {}
        self.is_given_up = True
        self._timers.remove(self)
        for read in reads:
            read.leave(self)
        self.done()


def recall_time(budget_s: float, longest_s: float) -> float:
    """Return the part of the budget that is not spent on calling the services."""
    return min(longest_s, budget_s * RECALL_SHARE)
