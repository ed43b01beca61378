"""Batches the reads of many users' panels into calls to one service.

Nothing is delayed to fill a batch: while fewer calls than allowed are in flight, a read is sent at once, with the other
reads of the same event loop iteration. Reads requested while the limit is reached are sent together when a call ends.

A call continues as long as any caller waits for one of its results. The service is given as much time as the most
patient caller at the time of sending; if it gives up then, the reads of callers that have joined since are sent once
more.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice

from services.gateway.panels import Panels
from services.gateway.upstream.errors import ErrorCode, TooLate, UpstreamFailed
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.resilience import Answers, Call, ServiceCalls, timeout_s
from services.gateway.upstream.single_flight import InFlightRead
from services.gateway.upstream.timers import GRAIN_S
from shared.contracts.panels import MAX_IDS
from shared.observability.logs import get_logger
from shared.observability.telemetry import Origin

log = get_logger(__name__)

GAVE_UP: tuple[ErrorCode, ...] = ("timeout", "bad_response")
"""How a service that ran out of time fails."""
GIVES_UP_EARLY = 0.1
"""A service responds slightly before its deadline: by less than this share of its time."""


class Batcher:
    """Collects the reads for one service. `in_flight` calls at a time delay the next; one that takes longer than
    `batch_patience_s` no longer does."""

    def __init__(self, service: ServiceCalls, in_flight: int) -> None:
        self._service = service
        self._in_flight = in_flight
        self._waiting: dict[Panels, dict[InFlightRead, None]] = {}
        self._calls: dict[Call, list[InFlightRead]] = {}
        self._delaying = 0
        self._departing = False

    @property
    def is_suspended(self) -> bool:
        return self._service.policies.is_suspended

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._calls

    def add(self, read: InFlightRead, panels: Panels) -> None:
        """Send these panels of a user with the next call."""
        group = self._waiting.get(panels)
        if group is None:
            group = self._waiting[panels] = {}
        group[read] = None
        if not self._departing and self._delaying < self._in_flight:
            self._departing = True
            asyncio.get_running_loop().call_soon(self._depart)

    def abandon(self, read: InFlightRead) -> None:
        """Its result is no longer needed. A call without other results is cancelled."""
        for panels, group in list(self._waiting.items()):
            if read in group:
                del group[read]
                if not group:
                    del self._waiting[panels]
        call = read.calls.get(self._service.service)
        if call in self._calls and not any(other.waiters for other in self._calls[call]):
            del self._calls[call]
            call.cancel()
            self.let_pass(call)

    def deadline(self, call: Call) -> float:
        """Return until when any caller waits for one of its results."""
        longest = timeout_s(call.panels)
        return max([read.deadline(longest) for read in self._calls[call]])

    def let_pass(self, call: Call) -> None:
        """The next call need not wait for it."""
        if call.delays_next:
            call.delays_next = False
            self._delaying -= 1
            self._depart()

    def ended(self, call: Call, answers: Answers | None, failure: UpstreamFailed | None) -> None:
        """Pass on the results."""
        reads = self._calls.pop(call)
        if failure is not None and not isinstance(failure, TooLate):
            self._warn(call, failure)
        names = [panel.name for panel in call.panels]
        if answers is None:
            failed = Answer(error=failure.code if failure is not None else "internal")
            rows = [dict.fromkeys(names, failed)] * len(reads)
        else:
            rows = _rows(names, answers)
        again = []
        may_be_late = self._service.clock() + GRAIN_S >= call.sent_deadline - GIVES_UP_EARLY * (
            call.sent_deadline - call.began
        )
        for read, row in zip(reads, rows, strict=True):
            if may_be_late and self._was_cut_short(call, read, row):
                again.append(read)
            else:
                read.resolve(row)
        if again:
            self._start(call.panels, again)
        self.let_pass(call)

    def _was_cut_short(self, call: Call, read: InFlightRead, row: dict[str, Answer]) -> bool:
        """Return whether the service gave up at its deadline although a caller waits longer."""
        longest = timeout_s(call.panels)
        waits_on = read.waiters and read.deadline(longest) > max(self._service.clock(), call.sent_deadline) + GRAIN_S
        return bool(waits_on) and any(answer.is_failure and answer.error in GAVE_UP for answer in row.values())

    def _depart(self) -> None:
        self._departing = False
        while self._waiting and self._delaying < self._in_flight:
            panels, group = next(iter(self._waiting.items()))
            if len(group) <= MAX_IDS:
                del self._waiting[panels]
                reads = list(group)
            else:
                reads = list(islice(group, MAX_IDS))
                for read in reads:
                    del group[read]
            self._start(panels, reads)

    def _start(self, panels: Panels, reads: list[InFlightRead]) -> None:
        longest, now = timeout_s(panels), self._service.clock()
        sent_deadline = now + min(longest, max([read.budget_s for read in reads]))
        call = Call(
            self._service, panels, [read.known_as for read in reads], sent_deadline, _origin(panels, reads), self
        )
        for read in reads:
            read.calls[self._service.service] = call
            read.sent[self._service.service] = now, sent_deadline
        self._calls[call] = reads
        self._delaying += 1
        call.start()

    def _warn(self, call: Call, failure: UpstreamFailed) -> None:
        log.warning(
            "panel failed",
            panels=[panel.name for panel in call.panels],
            users=len(call.user_ids),
            code=failure.code,
            reason=str(failure),
            request_id=call.origin.request_id,
            trace_id=call.origin.trace.trace_id,
        )


def _rows(names: Sequence[str], answers: Answers) -> list[dict[str, Answer]]:
    """Convert results by panel and user to results by user and panel."""
    if len(names) == 1:
        return [{names[0]: answer} for answer in answers[names[0]]]
    return [dict(zip(names, row, strict=True)) for row in zip(*[answers[name] for name in names], strict=True)]


def _origin(panels: Panels, reads: Sequence[InFlightRead]) -> Origin:
    """Return the context of the first caller; in the first recorded trace, if there is one."""
    carrier = next((read.askers[panel.name] for read in reads for panel in panels if panel.name in read.askers), None)
    if carrier is None:
        return reads[0].origin
    for read in reads:
        read.carriers |= dict.fromkeys([panel.name for panel in panels], carrier)
    return Origin(reads[0].origin.request_id, carrier)
