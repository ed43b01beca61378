"""Probes a service whose circuit breaker is open, in the background: no caller waits for it."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context

from services.gateway.panels import Panels
from services.gateway.upstream.circuit_breaker import CircuitBreaker, State
from services.gateway.upstream.errors import UpstreamFailed
from shared.observability.logs import get_logger

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
