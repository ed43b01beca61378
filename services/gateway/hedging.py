"""One more attempt where it is likely to help: after a failure, or when the first takes longer than most do.

Extra attempts come out of a budget, so that a service in trouble is not asked twice as much because of it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class RetryBudget:
    """Every call pays in its share, every extra attempt costs a whole one; savings are limited."""

    MOST_SAVED = 10.0

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = 0.0

    def pay_in(self) -> None:
        self._saved = min(self.MOST_SAVED, self._saved + self._share)

    def take(self) -> bool:
        """Whether there is enough for one attempt; takes it if so."""
        # Ten tenths are less than one in binary.
        if self._saved < 1 - 1e-9:
            return False
        self._saved -= 1
        return True


class Latencies:
    """How long the latest calls took, and what 95 % of them did not exceed."""

    REMEMBERED = 200
    ENOUGH = 20
    RENEWED_EVERY = 10

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=self.REMEMBERED)
        self._seen = 0
        self.p95: float | None = None
        """Seconds; None before enough has been seen."""

    def observe(self, seconds: float) -> None:
        self._latest.append(seconds)
        self._seen += 1
        if self._seen >= self.ENOUGH and self._seen % self.RENEWED_EVERY == 0:
            in_order = sorted(self._latest)
            self.p95 = in_order[int(len(in_order) * 0.95)]


MayRepeat = Callable[[BaseException | None], bool]


async def hedged(attempt: Callable[[int], Coroutine[Any, Any, T]], after_s: float | None, may_repeat: MayRepeat) -> T:
    """The first good answer of `attempt(0)` and perhaps `attempt(1)`; the other is cancelled.

    The second starts when the first has failed, or has no answer after so many seconds (never for None), if
    `may_repeat(failure)` agrees. Raises what the first raised when none is good.
    """
    loop = asyncio.get_running_loop()
    race = Race(attempt, may_repeat)
    timer = loop.call_later(after_s, race.is_slow) if after_s is not None else None
    try:
        return await race.settled
    finally:
        if timer:
            timer.cancel()
        await race.end()


class Race(Generic[T]):
    """One attempt under way, or two. `settled` is the first good answer, or the failure when there is none."""

    def __init__(self, attempt: Callable[[int], Coroutine[Any, Any, T]], may_repeat: MayRepeat) -> None:
        self._loop = asyncio.get_running_loop()
        self._attempt = attempt
        self._may_repeat = may_repeat
        self._running: list[asyncio.Task[T]] = []
        self.settled: asyncio.Future[T] = self._loop.create_future()
        self._start()

    def is_slow(self) -> None:
        """The first has taken long enough."""
        if len(self._running) == 1 and not self.settled.done() and self._may_repeat(None):
            self._start()

    async def end(self) -> None:
        """Cancel what nobody waits for any more."""
        self.settled.cancel()
        if left := [task for task in self._running if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left)

    def _start(self) -> None:
        task = self._loop.create_task(self._attempt(len(self._running)))
        self._running.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[T]) -> None:
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        if self.settled.done():
            return
        if failure is None:
            self.settled.set_result(task.result())
        elif len(self._running) == 1 and self._may_repeat(failure):
            self._start()
        elif all(running.done() for running in self._running):
            self.settled.set_exception(self._failure_of(self._running[0]))

    @staticmethod
    def _failure_of(task: asyncio.Task[T]) -> BaseException:
        return (None if task.cancelled() else task.exception()) or asyncio.CancelledError()
