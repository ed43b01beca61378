"""What is told of pools: places taken, who waits and for how long, who got none."""

import asyncio
from contextlib import suppress

import pytest

from shared.observability import pools
from shared.observability.pools import POOLS, CountedSemaphore, WaitQueue
from tests.support.metrics import sample
from tests.support.waiting import eventually


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pools, "time", clock)
    return clock


def told(metric: str, pool: str) -> float | None:
    return sample(metric, {"pool": pool})


def test_waiting_is_added_up_also_while_it_lasts(clock: Clock) -> None:
    """Two who wait for three seconds have waited for six, whether they are done or not."""
    line = WaitQueue()
    with line, line:
        clock.now += 3
        assert (line.waiting, line.waited_s) == (2, 6)
    clock.now += 50
    assert (line.waiting, line.waited_s) == (0, 6)


def test_only_who_got_no_place_is_refused() -> None:
    """Whoever left, or failed otherwise, is not."""
    line = WaitQueue((TimeoutError,))
    for failure in (TimeoutError(), ValueError(), asyncio.CancelledError()):
        with suppress(TimeoutError, ValueError, asyncio.CancelledError), line:
            raise failure
    assert (line.refused, line.waiting) == (1, 0)


async def test_slots_know_how_many_are_taken() -> None:
    """One works, one waits and gives up, and in the end all are free."""
    slots = CountedSemaphore(1)
    POOLS.watch_slots("of_a_test", slots)
    async with slots:
        waits = asyncio.create_task(slots.acquire())
        await eventually(lambda: _is(slots.line.waiting == 1))
        seen = [told(f"pool_{name}", "of_a_test") for name in ("in_use", "limit", "waiting", "refused_total")]
        assert seen == [1, 1, 1, 0]
        waits.cancel()
        with suppress(asyncio.CancelledError):
            await waits
    assert [told(f"pool_{name}", "of_a_test") for name in ("in_use", "waiting")] == [0, 0]


def test_a_pool_without_a_bound_has_no_limit() -> None:
    """And one without a line tells nothing of waiting."""
    POOLS.watch("unbounded", lambda: 3, lambda: None)
    assert told("pool_in_use", "unbounded") == 3
    assert told("pool_limit", "unbounded") is None
    assert told("pool_waiting", "unbounded") is None


async def _is(true: bool) -> bool:
    return true
