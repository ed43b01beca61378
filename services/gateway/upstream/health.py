"""The background checks of what does not respond: single replicas, and a service whose circuit breaker is open.

No caller waits for a check.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import Any

from services.gateway import metrics
from services.gateway.panels import Panels
from services.gateway.upstream.circuit_breaker import CircuitBreaker, State
from services.gateway.upstream.errors import UpstreamFailed
from shared.observability.logs import get_logger

log = get_logger(__name__)

IsAlive = Callable[[int], Awaitable[bool]]
"""Returns whether that replica answers a cheap request."""


class Replicas:
    """Returns replicas in turn, those out of rotation last: a service without any healthy replica is still called.

    A replica is taken out of rotation when it has failed, or when it is silent and also fails the liveness check. It
    returns when that succeeds, after a pause that grows with consecutive failures. A single replica is never taken out.
    """

    SUSPECT_AFTER_S = 0.5
    """A replica that is silent for this long is checked for liveness."""
    FIRST_PAUSE_S = 5.0
    LONGEST_PAUSE_S = 60.0

    def __init__(self, service: str, count: int, is_alive: IsAlive, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._service = service
        self._is_alive = is_alive
        self._first_pause_s = first_pause_s
        self._count = count
        self._turn = 0
        self._failures = [0] * count
        self._left_out: dict[int, asyncio.Task[None]] = {}
        self._suspected: dict[int, asyncio.Task[None]] = {}

    def close(self) -> None:
        for task in (*self._left_out.values(), *self._suspected.values()):
            task.cancel()

    def next(self) -> int:
        """Return the next replica in turn."""
        self._turn = (self._turn + 1) % self._count
        return self.beginning_with(self._turn)[0]

    def in_turn(self) -> list[int]:
        """Return all replicas in the order in which they are tried."""
        return self.beginning_with(self.next())

    def beginning_with(self, first: int) -> list[int]:
        """Return all replicas starting with this one, those out of rotation at the end."""
        if self._count == 1:
            return [0]
        order = [number % self._count for number in range(first, first + self._count)]
        return sorted(order, key=self._left_out.__contains__) if self._left_out else order

    @contextmanager
    def watched(self, replica: int) -> Iterator[None]:
        """Watch the replica within the block: if it is silent for too long, check its liveness."""
        timer = self.watch(replica)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def watch(self, replica: int) -> asyncio.TimerHandle | None:
        """Do the same without a block: return the timer, to be cancelled when it has responded; None for a single
        replica."""
        if self._count == 1:
            return None
        return asyncio.get_running_loop().call_later(self.SUSPECT_AFTER_S, self._suspect, replica)

    def answered(self, replica: int) -> None:
        self._failures[replica] = 0

    def failed(self, replica: int) -> None:
        """The connection failed or timed out."""
        if self._count == 1 or replica in self._left_out:
            return
        self._failures[replica] += 1
        metrics.REPLICAS_LEFT_OUT.labels(self._service).inc()
        log.warning("replica is not responding; taken out of rotation", service=self._service, replica=replica)
        self._left_out[replica] = self._start(self._bring_back(replica))

    def _suspect(self, replica: int) -> None:
        if replica not in self._left_out and replica not in self._suspected:
            self._suspected[replica] = self._start(self._ask(replica))

    async def _ask(self, replica: int) -> None:
        try:
            if not await self._is_alive(replica):
                self.failed(replica)
        finally:
            del self._suspected[replica]

    async def _bring_back(self, replica: int) -> None:
        pause_s = min(self.LONGEST_PAUSE_S, self._first_pause_s * 2 ** (self._failures[replica] - 1))
        try:
            alive = False
            while not alive:
                await asyncio.sleep(pause_s)
                alive = await self._is_alive(replica)
        finally:
            del self._left_out[replica]
        log.info("replica is responding again", service=self._service, replica=replica)

    @staticmethod
    def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # In a separate context: it outlives the request that started it.
        return asyncio.get_running_loop().create_task(work, context=Context())


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
