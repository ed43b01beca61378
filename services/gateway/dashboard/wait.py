"""One dashboard's wait for its panels."""

import asyncio
from collections.abc import Callable, Mapping
from math import inf

from starlette.types import Receive

from services.gateway.panels import Panel
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.single_flight import InFlightRead
from services.gateway.upstream.timers import Timers


class ClientDisconnected(Exception):
    """Nobody waits for the answer any more."""


class DisconnectWatcher:
    """Listens to one client, from `watch` to `end`. A task of its own, so meant for answers that take long."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listening: asyncio.Task[None] | None = None

    def watch(self, gone: Callable[[], None]) -> None:
        """Call `gone` when the client leaves."""
        self._listening = asyncio.create_task(self._listen(gone))

    def end(self) -> None:
        """The task is let go: a cancelled one refers to its frame, which refers to this."""
        if self._listening:
            self._listening.cancel()
            self._listening = None

    async def _listen(self, gone: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        gone()


TIMED_OUT = Answer(error="timeout")


class PanelWait:
    """Collects an answer for every panel, each within its own deadline, and then calls `done`."""

    def __init__(self, timers: Timers, budget_s: float) -> None:
        self._timers = timers
        self._awaited: dict[str, InFlightRead] = {}
        self._panels: tuple[Panel, ...] = ()
        self.began = timers.clock()
        self.ends = self.due = self.began + budget_s
        self.answers: dict[str, Answer] = {}
        self.seconds: dict[str, float] = {}
        """How long each answer was waited for."""
        self.is_given_up = False

    @property
    def budget_s(self) -> float:
        return self.ends - self.began

    @property
    def is_waiting(self) -> bool:
        return bool(self._awaited)

    def done(self) -> None:
        """All answers are there, or the wait was given up."""

    def put(self, panel: str, answer: Answer) -> None:
        """An answer that is known without asking."""
        self.answers[panel] = answer
        self.seconds[panel] = 0.0

    def expect(self, panels: tuple[Panel, ...], reads: Mapping[str, InFlightRead]) -> None:
        """Wait for these panels, each for its own timeout at most. A part of a read may have arrived already."""
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
            self.arrived(here)

    def arrived(self, answers: Mapping[str, Answer]) -> None:
        """Take those that are waited for."""
        awaited = self._awaited
        if not awaited:
            return
        took = self._timers.clock() - self.began
        for name, answer in answers.items():
            if awaited.pop(name, None) is not None:
                self.answers[name] = answer
                self.seconds[name] = took
        if not awaited:
            self._timers.remove(self)
            self.done()

    def look(self, now: float) -> None:
        """Time out what is overdue."""
        deadlines = {panel.name: min(self.ends, self.began + panel.timeout_s) for panel in self._panels}
        late = [name for name in self._awaited if deadlines[name] <= now]
        left = {self._awaited[name] for name in late}
        self.due = min([deadlines[name] for name in self._awaited if name not in late], default=inf)
        if late:
            self.arrived(dict.fromkeys(late, TIMED_OUT))
        for read in left - set(self._awaited.values()):
            read.leave(self)

    def give_up(self) -> None:
        """Leave all reads: nobody waits for the answers any more."""
        reads, self._awaited = set(self._awaited.values()), {}
        self.is_given_up = True
        self._timers.remove(self)
        for read in reads:
            read.leave(self)
        self.done()


class AwaitedPanelWait(PanelWait):
    """A wait for a coroutine. From `watch_after_s` on it listens for the client's departure, which ends it."""

    def __init__(
        self,
        timers: Timers,
        budget_s: float,
        departure: DisconnectWatcher | None = None,
        watch_after_s: float = inf,
    ) -> None:
        super().__init__(timers, budget_s)
        self._departure = departure
        self._watch_at = self.began + watch_after_s if departure else inf
        self.due = min(self.due, self._watch_at)
        self._done = asyncio.get_running_loop().create_future()

    def done(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def look(self, now: float) -> None:
        if self._departure is not None and self._watch_at <= now:
            self._watch_at = inf
            self._departure.watch(self.give_up)
        super().look(now)
        self.due = min(self.due, self._watch_at)

    async def wait(self) -> None:
        """Return when every panel has its answer, be it that it is late, or when the client has gone. Cancelled, it
        leaves all reads."""
        try:
            if self._awaited:
                await self._done
        finally:
            if self._awaited:
                self.give_up()
            if self._departure is not None:
                self._departure.end()
