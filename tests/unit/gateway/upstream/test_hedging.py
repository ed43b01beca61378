"""How much a second attempt may cost, and when it is due."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.upstream.hedging import Hedge, RetryBudget


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
    assert sum(budget.take() for _ in range(100)) == RetryBudget.MAX_SAVED


def test_the_95th_percentile() -> None:
    """Unknown at first, then of the latest calls."""
    hedge = Hedge(0.05)
    for milliseconds in range(1, Hedge.ENOUGH):
        hedge.observe(milliseconds / 1000)
        assert hedge.p95 == inf
    for milliseconds in range(Hedge.ENOUGH, 101):
        hedge.observe(milliseconds / 1000)
    assert hedge.p95 == pytest.approx(0.096)
    for _ in range(Hedge.REMEMBERED):
        hedge.observe(1)
    assert hedge.p95 == 1


def test_a_second_attempt_is_due_after_most_calls() -> None:
    """It never comes before the least time, nor before enough calls have told something."""
    slow, fast, unknown = Hedge(0.05), Hedge(0.05), Hedge(0.05)
    for _ in range(Hedge.ENOUGH):
        slow.observe(0.2)
        fast.observe(0.001)
    assert slow.after_s == pytest.approx(0.2)
    assert fast.after_s == 0.05
    assert unknown.after_s == inf
