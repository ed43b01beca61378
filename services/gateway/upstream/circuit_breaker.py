"""Suspends calls to a service after too many failures, and resumes them carefully.

closed ── enough of the window's calls failed ──▶ open ── after a pause ──▶ half open ── all probes pass ──▶ closed
                                                   ▲                            │
                                                   └────── one probe fails ─────┘

Callers are admitted only while it is closed; probes are sent in parallel.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from enum import IntEnum

from services.gateway import metrics
from services.gateway.panels import Panels
from services.gateway.upstream.errors import CircuitOpen, UpstreamFailed
from shared.observability.logs import get_logger


class State(IntEnum):
    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Window:
    """Calls and failures of the last seconds, in tenths of the window."""

    SLICES = 10

    def __init__(self, seconds: float) -> None:
        self._slice_s = seconds / self.SLICES
        self._slices: deque[list[int]] = deque()
        self.failed_in_a_row = 0

    def add(self, now: float, failed: bool) -> None:
        number = int(now / self._slice_s)
        if not self._slices or self._slices[-1][0] != number:
            self._forget_before(number)
            self._slices.append([number, 0, 0])
        self._slices[-1][1] += 1
        self._slices[-1][2] += failed
        self.failed_in_a_row = self.failed_in_a_row + 1 if failed else 0

    def counts(self, now: float) -> tuple[int, int]:
        """Calls and failures."""
        self._forget_before(int(now / self._slice_s))
        return sum(part[1] for part in self._slices), sum(part[2] for part in self._slices)

    def _forget_before(self, number: int) -> None:
        while self._slices and self._slices[0][0] <= number - self.SLICES:
            self._slices.popleft()
        if not self._slices:
            self.failed_in_a_row = 0


class CircuitBreaker:
    """Decides whether a service may be called. Call `admit` before each call, then `record` or `forget` its permit.

    It opens if `error_rate` of at least `min_calls` calls within `window_s` have failed, or `min_calls` in a row; after
    `open_s` it allows `probes` calls, which must all succeed.
    """

    def __init__(
        self,
        service: str,
        *,
        window_s: float,
        min_calls: int,
        error_rate: float,
        open_s: float,
        probes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._window_s = window_s
        self._min_calls = min_calls
        self._error_rate = error_rate
        self._probes = probes
        self._clock = clock
        self.pause_s = open_s
        """How long it stays open before it is probed."""
        self._period = 0
        self._enter(State.CLOSED)

    @property
    def rest_s(self) -> float:
        """The seconds until it may be probed."""
        return max(0.0, self._opened_at + self.pause_s - self._clock()) if self.state is State.OPEN else 0.0

    def admit(self, *, probe: bool = True) -> int:
        """Return a permit for a probe, or for a caller's call: it counts only in the state in which it was issued.
        Raises `CircuitOpen`."""
        if probe and self.state is State.OPEN and not self.rest_s:
            self._enter(State.HALF_OPEN)
        if not self._lets_through(probe):
            metrics.CALLS_REFUSED.labels(self._service, "circuit_open").inc()
            raise CircuitOpen
        self._probing += 1
        return self._period

    def record(self, permit: int, *, failed: bool) -> None:
        """Record the outcome of a call."""
        if permit != self._period:
            return
        if self.state is State.HALF_OPEN:
            self._record_probe(failed)
            return
        now = self._clock()
        self._window.add(now, failed)
        if failed and self._is_too_much(*self._window.counts(now)):
            self._enter(State.OPEN)

    def forget(self, permit: int) -> None:
        """A call ended without information about the service: it was cancelled because its result was no longer
        needed."""
        if permit == self._period:
            self._probing -= 1

    def _lets_through(self, probe: bool) -> bool:
        half_open = self.state is State.HALF_OPEN
        return self.state is State.CLOSED or (probe and half_open and self._probing < self._probes)

    def _is_too_much(self, calls: int, failures: int) -> bool:
        least = self._min_calls
        return self._window.failed_in_a_row >= least or (calls >= least and failures >= calls * self._error_rate)

    def _record_probe(self, failed: bool) -> None:
        self._passed += not failed
        if failed:
            self._enter(State.OPEN)
        elif self._passed >= self._probes:
            self._enter(State.CLOSED)

    def _enter(self, state: State) -> None:
        self.state = state
        self._period += 1
        self._opened_at = self._clock()
        self._window = Window(self._window_s)
        self._probing = self._passed = 0
        metrics.BREAKER_STATE.labels(self._service).set(state)
        metrics.BREAKER_CHANGES.labels(self._service, state.name.lower()).inc()


log = get_logger(__name__)

Probed = Callable[[UpstreamFailed | None], None]
"""Called once with the outcome of a probe: None if it succeeded."""
Probe = Callable[[Panels, Sequence[str], Probed], None]
"""Sends one probe, and records its outcome with the breaker."""


class Probing:
    """Sends probes from when the breaker opens until it is closed. Each probe is the most recent query, so that a
    query that always fails keeps no breaker open."""

    def __init__(self, service: str, breaker: CircuitBreaker, probe: Probe) -> None:
        self._service = service
        self._breaker = breaker
        self._probe = probe
        self._question: tuple[Panels, Sequence[str]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def note(self, panels: Panels, user_ids: Sequence[str]) -> None:
        """Record the query that is, or would have been, sent."""
        self._question = panels, user_ids

    def wake(self) -> None:
        """Start, if the breaker is open and probing has not started."""
        if self._breaker.state is State.OPEN and not self._closed and (self._task is None or self._task.done()):
            # In a separate context: the request whose call opened the breaker ends before.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    def close(self) -> None:
        """A probe in flight ends by itself, and is the last."""
        self._closed = True
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        while self._breaker.state is not State.CLOSED:
            await asyncio.sleep(self._breaker.rest_s)
            before = self._breaker.state
            if not await self._probe_once() and self._breaker.state is before is State.HALF_OPEN:
                await asyncio.sleep(self._breaker.pause_s)  # it had no outcome
        log.info("service is responding again", service=self._service)

    async def _probe_once(self) -> bool:
        if self._question is None:
            return False
        answer: asyncio.Future[UpstreamFailed | None] = asyncio.get_running_loop().create_future()

        def probed(failure: UpstreamFailed | None) -> None:
            if not answer.done():
                answer.set_result(failure)

        try:
            self._probe(*self._question, probed)
            failure = await answer
        except Exception:
            log.exception("probe failed", service=self._service)
            return False
        if failure is not None:
            log.debug("probe failed", service=self._service, reason=repr(failure))
        return failure is None
