"""Calls to one service, and the policies that apply to them.

Only panel reads use them. Passed-through requests neither feed the breaker nor check it: the duration of a write or an
upload does not predict panel reads, and its caller needs the service's own response.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Protocol

from services.gateway import metrics
from services.gateway.panels import Panels
from services.gateway.settings import Tuning
from services.gateway.upstream import panel_protocol
from services.gateway.upstream.circuit_breaker import Bulkhead, CircuitBreaker, State
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import (
    BadAnswer,
    NotAsked,
    NotTrusted,
    Refused,
    TooLate,
    Unreachable,
    UpstreamFailed,
)
from services.gateway.upstream.health import Probed, Probing
from services.gateway.upstream.hedging import Hedge, RetryBudget
from services.gateway.upstream.http1 import Cancellable
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.timers import Timers
from shared.contracts.panels import PATH, encode_query
from shared.observability import telemetry, tracing
from shared.observability.histogram import Series
from shared.observability.telemetry import Origin
from shared.observability.tracing import Kind

Answers = Mapping[str, Sequence[Answer]]
"""By panel, in the order of the requested users."""


BREAKER_WINDOW_S, BREAKER_ERROR_RATE = 10.0, 0.5
"""The circuit opens when this share of the calls in the window failed."""
SLOW_SHARE = 0.75
"""A call that takes more than this share of its panels' timeout counts as failed, with or without a response."""
MAX_PANEL_BYTES = 1024 * 1024
"""A larger panel of one user counts as an invalid response."""


@dataclass(frozen=True)
class Policies:
    """The policies for calls to one service, in the order in which they apply."""

    breaker: CircuitBreaker
    """Whether the service is healthy enough to be called."""
    bulkhead: Bulkhead
    """Whether there is room for one more call."""
    hedge: Callable[[Panels], Hedge]
    """Whether it takes so long, for a call for these panels, that a second attempt is due."""
    retries: RetryBudget
    """Whether a second attempt is affordable."""

    @classmethod
    def of(
        cls, service: str, bulkhead_calls: int, tuning: Tuning, clock: Callable[[], float] = time.monotonic
    ) -> "Policies":
        breaker = CircuitBreaker(
            service,
            window_s=BREAKER_WINDOW_S,
            min_calls=tuning.breaker_min_calls,
            error_rate=BREAKER_ERROR_RATE,
            open_s=tuning.breaker_open_s,
            probes=tuning.breaker_probes,
            clock=clock,
        )
        return cls(
            breaker=breaker,
            bulkhead=Bulkhead(service, bulkhead_calls),
            hedge=cache(lambda _panels: Hedge(tuning.hedge_min_s)),
            retries=RetryBudget(tuning.retry_share),
        )

    @property
    def is_suspended(self) -> bool:
        """Whether the breaker admits no caller's call."""
        return self.breaker.state is not State.CLOSED

    def may_repeat(self, failure: UpstreamFailed | None) -> bool:
        """Return whether a second attempt is made: after a failure, or for None because of slowness."""
        if isinstance(failure, (NotAsked, Refused)):
            return False
        return not self.bulkhead.is_full and self.retries.take()


class Owner(Protocol):
    """The owner of a call."""

    def deadline(self, call: "Call", /) -> float:
        """Until when any caller currently waits for it (monotonic seconds)."""

    def let_pass(self, call: "Call", /) -> None:
        """It takes long: the next call need not wait for it."""

    def ended(self, call: "Call", answers: Answers | None, failure: UpstreamFailed | None, /) -> None:
        """Called once, unless it is cancelled, with the results or the reason why there are none."""


class ServiceCalls:
    """Makes the calls to one service."""

    def __init__(
        self,
        service: str,
        upstream: Upstream,
        bulkhead_calls: int,
        tuning: Tuning,
        timers: Timers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self.upstream = upstream
        self.timers = timers
        self.clock = clock
        self.policies = Policies.of(service, bulkhead_calls, tuning, clock)
        self.patience_s = tuning.batch_patience_s
        self.probing = Probing(service, self.policies.breaker, self._probe)
        self._probed: Probed | None = None

    def close(self) -> None:
        """Stop the background work."""
        self.probing.close()

    def _probe(self, panels: Panels, user_ids: Sequence[str], probed: Probed) -> None:
        self._probed, sent_deadline = probed, self.clock() + timeout_s(panels)
        Call(self, panels, user_ids, sent_deadline, telemetry.begin(), self, is_probe=True).start()

    # -- as the owner of probes, of which there is one at a time

    def deadline(self, call: "Call") -> float:
        return call.sent_deadline

    def let_pass(self, _call: "Call") -> None:
        """No call waits for a probe."""

    def ended(self, _call: "Call", _answers: Answers | None, failure: UpstreamFailed | None) -> None:
        if self._probed is not None:
            self._probed(failure)


class Call:
    """A read of some panels of some users: the first successful response of one or two attempts, while any caller
    waits.

    `sent_deadline` is the deadline that is sent to the service (monotonic seconds); a later response counts, too.
    `delays_next`: whether the next call must wait for this one.
    """

    __slots__ = (
        "_attempts",
        "_deadline",
        "_failure",
        "_hedge_at",
        "_owner",
        "_pass_at",
        "_running",
        "began",
        "delays_next",
        "due",
        "is_probe",
        "origin",
        "panels",
        "replica",
        "sent_deadline",
        "service",
        "user_ids",
    )

    def __init__(
        self,
        service: ServiceCalls,
        panels: Panels,
        user_ids: Sequence[str],
        sent_deadline: float,
        origin: Origin,
        owner: Owner,
        *,
        is_probe: bool = False,
    ) -> None:
        self.service = service
        self.panels = panels
        self.user_ids = user_ids
        self.sent_deadline = sent_deadline
        self.origin = origin
        self.is_probe = is_probe
        self.delays_next = True
        self.replica = 0
        self.began = service.clock()
        self._owner: Owner | None = owner
        self._failure: UpstreamFailed | None = None
        self._attempts = 0
        self._running: list[Attempt] = []
        self._deadline = sent_deadline
        self._hedge_at = inf if is_probe else self.began + service.policies.hedge(panels).after_s
        self._pass_at = self.began + service.patience_s
        self.due = inf

    def start(self) -> None:
        service = self.service
        if not self.is_probe:
            service.probing.note(self.panels, self.user_ids)
        self.replica = service.upstream.replicas.next()
        self._attempt()
        if self._owner is not None:
            self._set_due()
            service.timers.add(self)

    def look(self, now: float) -> None:
        """Check whether it is slow, timed out, or due for a second attempt."""
        if now >= self._pass_at:
            self._pass_at = inf
            if self._owner is not None:
                self._owner.let_pass(self)
        for attempt in self._running:
            attempt.look(now)
        if now >= self._hedge_at:
            self._hedge_at = inf
            if self._attempts == 1 and self._may_repeat(None):
                self._attempt()
        if now >= self._deadline and self._owner is not None:
            self._deadline = self._owner.deadline(self)
            if now >= self._deadline:
                self._end(None, TooLate("no response in time"))
        self._set_due()

    def cancel(self) -> None:
        """No caller waits any more, and none is notified."""
        self._owner = None
        self._end(None, None)

    def answered(self, attempt: "Attempt", answers: Answers) -> None:
        self._running.remove(attempt)
        self._end(answers, None)

    def failed(self, attempt: "Attempt", failure: UpstreamFailed) -> None:
        self._running.remove(attempt)
        if self._failure is None or attempt.number == 0:
            self._failure = failure
        if self._attempts == 1 and not self.is_probe and self._may_repeat(failure):
            self._attempt()
        elif not self._running:
            self._end(None, self._failure)

    def _may_repeat(self, failure: UpstreamFailed | None) -> bool:
        if not self.service.policies.may_repeat(failure):
            return False
        metrics.SECOND_ATTEMPTS.labels(self.service.service, "failure" if failure else "slow").inc()
        return True

    def _attempt(self) -> None:
        attempt = Attempt(self, self._attempts)
        self._attempts += 1
        self._running.append(attempt)
        attempt.start()

    def _set_due(self) -> None:
        slow_at = min([attempt.slow_at for attempt in self._running], default=inf)
        self.due = min(self._deadline, self._hedge_at, self._pass_at, slow_at)

    def _end(self, answers: Answers | None, failure: UpstreamFailed | None) -> None:
        self.service.timers.remove(self)
        while self._running:
            self._running.pop().cancel()
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.ended(self, answers, failure)


class Attempt:
    """One exchange with one replica, or with the next if that cannot be connected to.

    It reports its outcome to breaker and metrics. If cancelled, it reports an outcome only if it took long already.
    """

    __slots__ = ("_began", "_call", "_order", "_permit", "_request", "_span", "_suspicion", "number", "slow_at")

    def __init__(self, call: Call, number: int) -> None:
        self.number = number
        self.slow_at = inf
        self._call = call
        self._began = call.service.clock()
        self._order: list[int] = []
        """The replicas that may still be tried."""
        self._permit: int | None = None
        self._request: Cancellable | None = None
        self._suspicion: asyncio.TimerHandle | None = None
        self._span = tracing.under(call.origin.trace, "POST " + PATH, Kind.CLIENT)
        if self._span.recorded:
            names = ",".join([panel.name for panel in call.panels])
            self._span.set({"peer.service": call.service.service, "dashboard.call.panels": names})
            self._span.set({"dashboard.call.users": len(call.user_ids), "dashboard.call.attempt": number + 1})

    def start(self) -> None:
        call, policies = self._call, self._call.service.policies
        try:
            self._permit = policies.breaker.admit(probe=call.is_probe)
            policies.bulkhead.take()
        except UpstreamFailed as refused:
            self._tell_breaker(None)
            self._fail(refused)
            return
        policies.retries.pay_in()
        self.slow_at = self._began + slow_s(call.panels)
        self._order = call.service.upstream.replicas.beginning_with(call.replica + self.number)
        self._send()

    def look(self, now: float) -> None:
        if now >= self.slow_at:
            self.slow_at = inf
            self._tell_breaker(failed=True)

    def received(self, body: bytes) -> None:
        call, service = self._call, self._call.service
        try:
            answers = panel_protocol.read_answers(call.panels, call.user_ids, body, MAX_PANEL_BYTES)
        except panel_protocol.MalformedAnswer as malformed:
            self.failed(BadAnswer(str(malformed)))
            return
        seconds = self._let_go()
        service.policies.hedge(call.panels).observe(seconds)
        self._measure(seconds)
        self._tell_breaker(failed=False)
        self._span.end()
        call.answered(self, answers)

    def failed(self, failure: UpstreamFailed) -> None:
        upstream = self._call.service.upstream
        if isinstance(failure, Unreachable):
            upstream.replicas.failed(self._order[0])
            self._calm()
            if len(self._order) > 1:
                self._order = self._order[1:]
                self._send()
                return
        elif isinstance(failure, NotTrusted):
            upstream.count_distrust(PATH, failure)
        seconds = self._let_go()
        if not isinstance(failure, NotAsked):
            self._measure(seconds)
        self._tell_breaker(failed=not isinstance(failure, Refused))
        self._fail(failure)

    def cancel(self) -> None:
        """No caller waits for it any more."""
        if self._request is None:
            return
        self._request.cancel()
        call, policies = self._call, self._call.service.policies
        seconds = self._let_go()
        hedge = policies.hedge(call.panels)
        if seconds > hedge.p95:  # the response would have taken longer than this
            hedge.observe(seconds)
        if seconds >= slow_s(call.panels):
            self._measure(seconds)
        self._tell_breaker(None)
        self._span.fail("CancelledError")
        self._span.end()

    def _send(self) -> None:
        call, service = self._call, self._call.service
        self._suspicion = service.upstream.replicas.watch(self._order[0])
        trace = self._span.trace if isinstance(self._span, tracing.Recorded) else call.origin.trace
        self._request = service.upstream.ask(
            encode_query([panel.name for panel in call.panels], call.user_ids),
            Origin(call.origin.request_id, trace),
            call.sent_deadline - service.clock(),
            self._order[0],
            MAX_PANEL_BYTES * len(call.user_ids) * len(call.panels),
            self,
        )

    def _let_go(self) -> float:
        """Release the resources of the exchange; return how many seconds it took."""
        self._request = None
        self.slow_at = inf
        self._calm()
        self._call.service.policies.bulkhead.give_back()
        return self._call.service.clock() - self._began

    def _calm(self) -> None:
        """Stop watching the replica."""
        if self._suspicion is not None:
            self._suspicion.cancel()
            self._suspicion = None

    def _fail(self, failure: UpstreamFailed) -> None:
        self._span.fail(type(failure).__name__)
        self._span.end()
        self._call.failed(self, failure)

    def _measure(self, seconds: float) -> None:
        exemplar, users = tracing.exemplar_of(self._span), len(self._call.user_ids)
        for seconds_of, users_of in _series(self._call.panels):
            seconds_of.observe(seconds, exemplar)
            users_of.observe(users)

    def _tell_breaker(self, failed: bool | None) -> None:
        """Called once, as soon as the outcome is known; None if the attempt has no information about the service."""
        if self._permit is None:
            return
        permit, self._permit = self._permit, None
        service = self._call.service
        if failed is None:
            service.policies.breaker.forget(permit)
        else:
            service.policies.breaker.record(permit, failed=failed)
        service.probing.wake()


@cache
def _series(panels: Panels) -> list[tuple[Series, Series]]:
    """The latencies and batch sizes of each panel."""
    names = [panel.name for panel in panels]
    return [(metrics.PANEL_SECONDS.labels(name), metrics.BATCH_SIZE.labels(name)) for name in names]


def timeout_s(panels: Panels) -> float:
    """Return the longest timeout of these panels."""
    return max([panel.timeout_s for panel in panels])


def slow_s(panels: Panels) -> float:
    """Return from when on a call for these panels counts as failed."""
    return timeout_s(panels) * SLOW_SHARE
