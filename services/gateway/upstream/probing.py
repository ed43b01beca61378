"""Tries a service that is left alone, beside its callers: nobody waits for it."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context

from services.gateway.panels import Panels
from services.gateway.upstream.circuit_breaker import CircuitBreaker, State
from services.gateway.upstream.errors import UpstreamFailed
from shared.observability.logs import get_logger

log = get_logger(__name__)

Probed = Callable[[UpstreamFailed | None], None]
"""Told once what came of a probe: None when it was answered well."""
Probe = Callable[[Panels, Sequence[str], Probed], None]
"""Asks once, and records the outcome with the breaker."""


class Probing:
    """Probes from when the breaker opens until it is closed. Each probe is the question that was asked last, so that a
    question that cannot be answered keeps no breaker open."""

    def __init__(self, service: str, breaker: CircuitBreaker, probe: Probe) -> None:
        self._service = service
        self._breaker = breaker
        self._probe = probe
        self._question: tuple[Panels, Sequence[str]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def note(self, panels: Panels, user_ids: Sequence[str]) -> None:
        """This is being asked, or would be."""
        self._question = panels, user_ids

    def wake(self) -> None:
        """Begin, if the breaker is open and that has not begun."""
        if self._breaker.state is State.OPEN and not self._closed and (self._task is None or self._task.done()):
            # In a context of its own: the request whose call opened the breaker ends before.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    def close(self) -> None:
        """A probe under way ends by itself, and is the last."""
        self._closed = True
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        while self._breaker.state is not State.CLOSED:
            await asyncio.sleep(self._breaker.rest_s)
            before = self._breaker.state
            if not await self._probe_once() and self._breaker.state is before is State.HALF_OPEN:
                await asyncio.sleep(self._breaker.pause_s)  # it told nothing
        log.info("the service answers again", service=self._service)

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
            log.exception("a probe failed", service=self._service)
            return False
        if failure is not None:
            log.debug("a probe failed", service=self._service, reason=repr(failure))
        return failure is None
