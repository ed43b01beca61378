"""When there is a second attempt, and what becomes of the other."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.upstream.hedging import Latencies, RetryBudget, hedged
from tests.support.waiting import eventually


class Attempts:
    """Each ends when it is told to; keeps which were made and which were cancelled."""

    def __init__(self) -> None:
        self.made: list[asyncio.Future[str]] = []
        self.cancelled: list[int] = []

    async def __call__(self, number: int) -> str:
        self.made.append(asyncio.get_running_loop().create_future())
        try:
            return await self.made[number]
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise

    async def reach(self, count: int) -> None:
        await eventually(lambda: len(self.made) >= count)


def always(_: BaseException | None) -> bool:
    return True


async def test_a_quick_answer_needs_no_second_attempt() -> None:
    """One attempt, its answer."""
    attempts = Attempts()
    asking = asyncio.create_task(hedged(attempts, 60, always))
    await attempts.reach(1)
    attempts.made[0].set_result("first")
    assert await asking == "first"
    assert len(attempts.made) == 1


@pytest.mark.parametrize("winner", [0, 1])
async def test_the_quicker_of_two_wins(winner: int) -> None:
    """After the delay a second attempt starts; the first answer counts, and the other attempt is cancelled."""
    attempts = Attempts()
    asking = asyncio.create_task(hedged(attempts, 0.001, always))
    await attempts.reach(2)
    attempts.made[winner].set_result("answer")
    assert await asking == "answer"
    assert attempts.cancelled == [1 - winner]


async def test_a_failure_is_tried_again_at_once() -> None:
    """Without waiting for the delay."""
    attempts = Attempts()
    asking = asyncio.create_task(hedged(attempts, None, always))
    await attempts.reach(1)
    attempts.made[0].set_exception(OSError("first"))
    await attempts.reach(2)
    attempts.made[1].set_result("second")
    assert await asking == "second"


async def test_the_first_failure_is_told_when_both_fail() -> None:
    """The second attempt's is not."""
    attempts = Attempts()
    asking = asyncio.create_task(hedged(attempts, 0.001, always))
    await attempts.reach(2)
    attempts.made[1].set_exception(OSError("second"))
    attempts.made[0].set_exception(OSError("first"))
    with pytest.raises(OSError, match="first"):
        await asking


async def test_without_leave_there_is_one_attempt() -> None:
    """A budget that is spent leaves the first attempt as it is."""
    attempts = Attempts()
    wanted = 0

    def never(_: BaseException | None) -> bool:
        nonlocal wanted
        wanted += 1
        return False

    asking = asyncio.create_task(hedged(attempts, 0.0, never))
    await attempts.reach(1)
    await eventually(lambda: wanted == 1)
    attempts.made[0].set_result("first")
    assert await asking == "first"
    assert len(attempts.made) == 1


async def test_giving_up_cancels_both() -> None:
    """Nothing goes on for nobody."""
    attempts = Attempts()
    asking = asyncio.create_task(hedged(attempts, 0.0, always))
    await attempts.reach(2)
    asking.cancel()
    await asyncio.wait([asking])
    assert sorted(attempts.cancelled) == [0, 1]


@given(st.floats(0, 1), st.integers(0, 500))
def test_the_budget_is_a_share_of_the_calls(share: float, calls: int) -> None:
    """However much is wanted, extra attempts stay within it."""
    budget = RetryBudget(share)
    taken = 0
    for _ in range(calls):
        budget.pay_in()
        taken += budget.take()
    assert taken <= calls * share + 1e-6


def test_savings_are_limited() -> None:
    """A quiet day does not pay for a storm."""
    budget = RetryBudget(0.1)
    for _ in range(10_000):
        budget.pay_in()
    assert sum(budget.take() for _ in range(100)) == RetryBudget.MOST_SAVED


def test_the_95th_percentile() -> None:
    """Unknown at first, then of the latest calls."""
    latencies = Latencies()
    for milliseconds in range(1, Latencies.ENOUGH):
        latencies.observe(milliseconds / 1000)
        assert latencies.p95 is None
    for milliseconds in range(Latencies.ENOUGH, 101):
        latencies.observe(milliseconds / 1000)
    assert latencies.p95 == pytest.approx(0.096)
    for _ in range(Latencies.REMEMBERED):
        latencies.observe(1)
    assert latencies.p95 == 1
