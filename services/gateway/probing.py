"""Tries a service that is left alone, beside its callers: nobody waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

from services.gateway.breaker import Breaker, State
from services.gateway.failures import UpstreamFailed
from services.gateway.panels import Panel
from shared.logs import get_logger

log = get_logger(__name__)

Question = tuple[Panel, Sequence[str]]
Attempt = Callable[[Panel, Sequence[str]], Awaitable[object]]
"""Asks once, and records the outcome with the breaker. Raises `UpstreamFailed`, or `TimeoutError`."""


class Probing:
    """Probes from when the breaker opens until it is closed. Each probe is the question that was asked last, so that a
    question that cannot be answered keeps no breaker open."""

    def __init__(self, service: str, breaker: Breaker, attempt: Attempt) -> None:
        self._service = service
        self._breaker = breaker
        self._attempt = attempt
        self._question: Question | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self, panel: Panel, user_ids: Sequence[str]) -> None:
        """This is being asked, or would be."""
        self._question = panel, user_ids

    def wake(self) -> None:
        """Begin, if the breaker is open and that has not begun."""
        if self._breaker.state is State.OPEN and (self._task is None or self._task.done()):
            # In a context of its own: the request whose call opened the breaker ends before.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    def close(self) -> None:
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        while self._breaker.state is not State.CLOSED:
            await asyncio.sleep(self._breaker.rest_s)
            before = self._breaker.state
            if not await self._probe() and self._breaker.state is before is State.HALF_OPEN:
                await asyncio.sleep(self._breaker.pause_s)  # it told nothing
        log.info("the service answers again", service=self._service)

    async def _probe(self) -> bool:
        if self._question is None:
            return False
        try:
            await self._attempt(*self._question)
        except (UpstreamFailed, TimeoutError) as failed:
            log.debug("a probe failed", service=self._service, reason=repr(failed))
        except Exception:
            log.exception("a probe failed", service=self._service)
        else:
            return True
        return False
