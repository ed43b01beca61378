"""One more attempt where it is likely to help: after a failure, or when the first takes longer than most do.

Extra attempts come out of a budget, so that a service in trouble is not asked twice as much because of it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

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


async def hedged(
    attempt: Callable[[int], Awaitable[T]],
    after_s: float | None,
    may_repeat: Callable[[BaseException | None], bool],
) -> T:
    """The first good answer of `attempt(0)` and perhaps `attempt(1)`; the other is cancelled.

    The second starts when the first has failed, or has no answer after so many seconds (never for None), if
    `may_repeat(failure)` agrees. Raises what the first raised when none is good.
    """
    running = [asyncio.ensure_future(attempt(0))]
    try:
        await asyncio.wait(running, timeout=after_s)
        failure = running[0].exception() if running[0].done() else None
        if (failure or not running[0].done()) and may_repeat(failure):
            running.append(asyncio.ensure_future(attempt(1)))
        return await _first_good(running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _first_good(running: Sequence[asyncio.Future[T]]) -> T:
    waiting = set(running)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.exception():
                return task.result()
    return running[0].result()
