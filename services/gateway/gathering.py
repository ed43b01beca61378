"""One dashboard's wait for its panels: one future and one timer, however many panels there are."""

import asyncio
import time
from collections.abc import Callable
from math import inf

from services.gateway.dashboard import Answer
from services.gateway.departure import ClientGone, Departure
from services.gateway.flights import Flight

TIMED_OUT = Answer(error="timeout")
TIMER_GRAIN_S = 0.002
"""Event loops keep time by the millisecond: a timer may come this much too early."""


class Gathering:
    """Collects an answer for every panel that was put or expected, each within its own deadline.

    From `watch_after_s` on it listens for the client's departure, which ends the wait.
    """

    __slots__ = (
        "_awaited",
        "_clock",
        "_departure",
        "_done",
        "_look_at",
        "_timer",
        "_watch_at",
        "answers",
        "began",
        "seconds",
    )

    def __init__(
        self,
        watch_after_s: float,
        departure: Departure | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.began = clock()
        self.answers: dict[str, Answer] = {}
        self.seconds: dict[str, float] = {}
        """How long each answer was waited for."""
        self._departure = departure
        self._watch_at = self.began + watch_after_s if departure else inf
        self._look_at = self._watch_at
        self._awaited: dict[str, tuple[Flight, float]] = {}
        self._done: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def put(self, panel: str, answer: Answer) -> None:
        """An answer that is known without asking."""
        self.answers[panel] = answer
        self.seconds[panel] = 0.0

    def expect(self, flight: Flight, deadline: float) -> None:
        """Wait for a flight, until the deadline (monotonic seconds) at most."""
        self._awaited[flight.panel] = flight, deadline
        if deadline < self._look_at:
            self._look_at = deadline
        flight.join(self, deadline)

    def arrived(self, panel: str, answer: Answer) -> None:
        del self._awaited[panel]
        self.answers[panel] = answer
        self.seconds[panel] = self._clock() - self.began
        if not self._awaited and (done := self._done) and not done.done():
            done.set_result(None)

    async def wait(self) -> None:
        """Return when every panel has its answer, be it that it is late. Raises `ClientGone`.

        A wait that is cancelled or given up leaves all flights.
        """
        if not self._awaited:
            return
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        self._timer = loop.call_later(self._look_at - self.began, self._look)
        try:
            await self._done
        finally:
            self._timer.cancel()
            self._done = self._timer = None  # a failed future refers to this frame
            if self._departure:
                self._departure.end()
            if self._awaited:
                for flight, _ in self._awaited.values():
                    flight.leave(self)
                self._awaited.clear()

    def _look(self) -> None:
        """Time out what is overdue, and set the timer for the next."""
        now = self._clock() + TIMER_GRAIN_S
        if self._departure and self._watch_at <= now:
            self._watch_at = inf
            self._departure.watch(self._break_off)
        for panel, (flight, deadline) in list(self._awaited.items()):
            if deadline <= now:
                flight.leave(self)
                self.arrived(panel, TIMED_OUT)
        if self._awaited:
            first = min(deadline for _, deadline in self._awaited.values())
            self._timer = asyncio.get_running_loop().call_later(min(first, self._watch_at) - now, self._look)

    def _break_off(self) -> None:
        if self._done and not self._done.done():
            self._done.set_exception(ClientGone())
