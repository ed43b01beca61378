"""Whether a service may be called: the circuit breaker, and the bulkhead.

The breaker suspends calls after too many failures, and resumes them carefully:

closed ── enough of the window's calls failed ──▶ open ── after a pause ──▶ half open ── all probes pass ──▶ closed
                                                   ▲                            │
                                                   └────── one probe fails ─────┘

Callers are admitted only while it is closed; probes are sent in parallel (`health.py`). The bulkhead limits concurrent
calls, so that a slow service cannot take up the whole gateway.
"""

import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from services.gateway import metrics
from services.gateway.upstream.errors import CircuitOpen, Overloaded
from shared.observability.pools import POOLS


class State(IntEnum):
    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Window:
    """Calls and failures of the last seconds, in tenths of the window."""

    SLICES: Final = 10

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


class Bulkhead:
    """A semaphore that refuses instead of waiting: callers already wait in the batching queue."""

    def __init__(self, service: str, max_calls: int) -> None:
        self._service = service
        self._max_calls = max_calls
        self._held = 0
        metrics.CALLS_IN_FLIGHT.labels(service).set_function(lambda: self._held)
        POOLS.watch(f"panel_calls_{service}", lambda: self._held, lambda: max_calls)

    @property
    def in_flight(self) -> int:
        return self._held

    @property
    def is_full(self) -> bool:
        return self._held >= self._max_calls

    def take(self) -> None:
        """Hold one slot until it is released. Raises `Overloaded`."""
        if self.is_full:
            metrics.CALLS_REFUSED.labels(self._service, "overloaded").inc()
            raise Overloaded
        self._held += 1

    def give_back(self) -> None:
        self._held -= 1
