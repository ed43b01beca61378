"""Asks for one panel of many users at a time.

Nothing is delayed for company: while fewer calls than allowed are in flight, a question leaves at once, with whatever
was asked in the same turn of the event loop. What is asked while they are in flight leaves together when one ends.

A call goes on for as long as anybody waits for one of its answers. The service is given as much time as the most
patient of those who waited when it left; where it gives up then, those who have joined since are asked for once more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from services.gateway.dashboard import Answer, ErrorCode
from services.gateway.failures import UpstreamFailed
from services.gateway.flights import Flight
from services.gateway.gathering import TIMER_GRAIN_S
from services.gateway.panel_cache import Fill
from shared.contracts.panels import MAX_IDS
from shared.logs import get_logger
from shared.telemetry import Trace, current_trace

log = get_logger(__name__)

Ask = Callable[[Sequence[str], float], Awaitable[Sequence[Answer]]]
"""Answers for these user ids, in their order. The service is told the deadline (monotonic seconds); a later answer
counts, too. Raises `UpstreamFailed`."""

GAVE_UP: tuple[ErrorCode, ...] = ("timeout", "bad_response")
"""How a service that ran out of time fails."""


@dataclass(frozen=True)
class BatchPolicy:
    """`in_flight` calls at a time; one that takes longer than `patience_s` does not hold back the next any more."""

    in_flight: int
    patience_s: float


@dataclass(eq=False, slots=True)
class Call:
    """One batch on its way. `told`: the deadline that the service was told. `holds`: whether the next must wait."""

    flights: list[Flight]
    told: float
    holds: bool = True
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


class Batcher:
    """Gathers the questions for one panel."""

    def __init__(self, panel: str, ask: Ask, policy: BatchPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._panel = panel
        self._clock = clock
        self._ask = ask
        self._policy = policy
        self._waiting: dict[str, Flight] = {}
        self._calls: dict[Flight, Call] = {}
        self._holding = 0
        self._departing = False

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._calls

    def begin(self, fill: Fill, context: Context) -> Flight:
        """A flight that has not left yet: whoever joins it asks after this call, whoever may have opened it."""
        flight = self._waiting.get(fill.user_id)
        if flight is None:
            flight = self._waiting[fill.user_id] = Flight(self._panel, fill, context, self._abandoned)
            self._depart_soon()
        else:
            flight.fill = fill
        return flight

    def _depart_soon(self) -> None:
        if not self._departing and self._holding < self._policy.in_flight:
            self._departing = True
            asyncio.get_running_loop().call_soon(self._depart)

    def _depart(self) -> None:
        self._departing = False
        while self._waiting and self._holding < self._policy.in_flight:
            flights = list(islice(self._waiting.values(), MAX_IDS))
            for flight in flights:
                del self._waiting[flight.user_id]
            self._start(flights)

    def _start(self, flights: list[Flight]) -> None:
        now = self._clock()
        call = Call(flights, max(max(flight.deadline, now + flight.patience_s) for flight in flights))
        for flight in flights:
            flight.told = call.told
        self._holding += 1
        self._calls |= dict.fromkeys(call.flights, call)
        loop = asyncio.get_running_loop()
        call.task = loop.create_task(self._carry_out(call), context=_context_of(call.flights))
        patience = loop.call_later(self._policy.patience_s, self._let_pass, call)
        call.task.add_done_callback(partial(self._ended, call, patience))

    def _ended(self, call: Call, patience: asyncio.TimerHandle, _: asyncio.Task[None]) -> None:
        patience.cancel()
        self._let_pass(call)

    def _let_pass(self, call: Call) -> None:
        if call.holds:
            call.holds = False
            self._holding -= 1
            self._depart()

    async def _carry_out(self, call: Call) -> None:
        answers: Sequence[Answer] = [Answer(error="internal")] * len(call.flights)
        again: list[Flight] = []
        try:
            answers = await self._asked(call)
            again = self._cut_short(call, answers)
        finally:
            for flight, answer in zip(call.flights, answers, strict=True):
                self._calls.pop(flight, None)
                if flight not in again:
                    flight.land(answer)
        if again:
            self._start(again)

    async def _asked(self, call: Call) -> Sequence[Answer]:
        """Raises nothing: whatever goes wrong is an answer."""
        user_ids = [flight.user_id for flight in call.flights]
        try:
            async with asyncio.timeout(None) as limit:
                self._extend(call, limit)
                return await self._ask(user_ids, call.told)
        except TimeoutError:
            return self._all_failed("timeout", user_ids)
        except UpstreamFailed as failed:
            log.warning("panel failed", panel=self._panel, users=len(user_ids), code=failed.code, reason=str(failed))
            return self._all_failed(failed.code, user_ids)
        except Exception:
            log.exception("panel failed", panel=self._panel)
            return self._all_failed("internal", user_ids)
        finally:
            if call.timer:
                call.timer.cancel()

    def _extend(self, call: Call, limit: asyncio.Timeout) -> None:
        """Let the call go on until the latest deadline of those who wait by now."""
        loop = asyncio.get_running_loop()
        remaining_s = max(flight.deadline for flight in call.flights) - self._clock()
        if remaining_s > 0:
            call.timer = loop.call_later(remaining_s, self._extend, call, limit)
        else:
            limit.reschedule(loop.time())

    def _cut_short(self, call: Call, answers: Sequence[Answer]) -> list[Flight]:
        """Flights without an answer since the service gave up at its deadline, though somebody waits for longer."""
        now = self._clock() + TIMER_GRAIN_S
        if now < call.told:
            return []
        return [
            flight
            for flight, answer in zip(call.flights, answers, strict=True)
            if answer.is_failure and answer.error in GAVE_UP and flight.deadline > now and flight.is_wanted
        ]

    @staticmethod
    def _all_failed(code: ErrorCode, user_ids: list[str]) -> list[Answer]:
        return [Answer(error=code)] * len(user_ids)

    def _abandoned(self, flight: Flight) -> None:
        if self._waiting.get(flight.user_id) is flight:
            del self._waiting[flight.user_id]
            flight.land(Answer())
        elif (call := self._calls.get(flight)) and not any(other.is_wanted for other in call.flights):
            for other in call.flights:
                del self._calls[other]
                other.land(Answer())
            if call.task:
                call.task.cancel()


def _context_of(flights: Sequence[Flight]) -> Context:
    """That of the first; in the trace of the first that is recorded, if there is one."""
    for flight in flights:
        if flight.asker is not None:
            return _carried(flight.asker, flights)
    return flights[0].context


def _carried(asker: Trace, flights: Sequence[Flight]) -> Context:
    for flight in flights:
        flight.carrier = asker
    context = flights[0].context.copy()
    context.run(current_trace.set, asker)
    return context
