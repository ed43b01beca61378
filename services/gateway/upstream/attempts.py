"""One or two attempts to do something, before a deadline."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from math import inf
from typing import Any, Generic, TypeVar

from services.gateway.upstream.errors import TooLate, UpstreamFailed
from services.gateway.upstream.timers import Timers

T = TypeVar("T")


class Attempts(Generic[T]):
    """The first success of one or two attempts: the second starts when the first has failed, or at `hedge_at`, if
    `may_repeat` allows it. The deadline may be extended meanwhile.

    The first attempt runs in the task that waits, since most need no second, and a task costs more than other steps of
    a call. It is ended as by `asyncio.timeout`: the task is cancelled, and the cancellation taken back.
    """

    def __init__(
        self,
        attempt: Callable[[int], Coroutine[Any, Any, T]],
        deadline: Callable[[], float],
        hedge_at: float,
        may_repeat: Callable[[UpstreamFailed | None], bool],
        timers: Timers,
    ) -> None:
        self.due = inf
        self._attempt = attempt
        self._deadline = deadline
        self._hedge_at = hedge_at
        self._may_repeat = may_repeat
        self._timers = timers
        self._waiting: asyncio.Task[object] | None = None
        self._second: asyncio.Task[T] | None = None
        self._is_first_running = True
        self._is_interrupted = False

    async def outcome(self) -> T:
        """Return the first success. Raises the failure of the first attempt, or `TooLate`."""
        task = self._waiting = asyncio.current_task()
        cancelling = task.cancelling() if task else 0
        self.due = min(self._hedge_at, self._deadline())
        self._timers.add(self)
        try:
            return await self._one_or_two()
        except asyncio.CancelledError:
            if task is None or not self._is_interrupted or task.uncancel() > cancelling:
                raise
            if self._second is not None and _succeeded(self._second):
                return self._second.result()
            raise TooLate("no response in time") from None
        finally:
            self._timers.remove(self)
            if self._second is not None:
                self._second.cancel()

    def look(self, now: float) -> None:
        """Start the second attempt, or end them all, if it is time."""
        if now >= self._hedge_at:
            self._hedge_at = inf
            if self._may_repeat(None):
                # In a separate context: the timer may have been set within another request.
                self._second = asyncio.get_running_loop().create_task(self._attempt(1), context=Context())
                self._second.add_done_callback(self._second_ended)
        deadline = self._deadline()
        if now >= deadline:
            self._interrupt()
        self.due = inf if self._is_interrupted else min(self._hedge_at, deadline)

    async def _one_or_two(self) -> T:
        try:
            return await self._attempt(0)
        except UpstreamFailed as failure:
            first = failure
        finally:
            self._is_first_running = False
            self._hedge_at = inf
        if self._second is None and not self._may_repeat(first):
            raise first
        try:
            return await (self._second or self._attempt(1))
        except UpstreamFailed:
            raise first from None

    def _second_ended(self, second: asyncio.Task[T]) -> None:
        if _succeeded(second) and self._is_first_running:
            self._interrupt()

    def _interrupt(self) -> None:
        if self._waiting is not None and not self._is_interrupted:
            self._is_interrupted = True
            self._waiting.cancel()


def _succeeded(attempt: asyncio.Task[T]) -> bool:
    return attempt.done() and not attempt.cancelled() and attempt.exception() is None
