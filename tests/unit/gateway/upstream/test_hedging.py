"""How much a second attempt may cost, and when it is due."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.upstream.hedging import Hedge, Latencies, RetryBudget


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
        assert latencies.p95 == inf
    for milliseconds in range(Latencies.ENOUGH, 101):
        latencies.observe(milliseconds / 1000)
    assert latencies.p95 == pytest.approx(0.096)
    for _ in range(Latencies.REMEMBERED):
        latencies.observe(1)
    assert latencies.p95 == 1


def test_a_second_attempt_is_due_after_most_calls_of_the_same_kind() -> None:
    """Of other kinds it knows nothing, and it never comes before the least time."""
    hedge = Hedge(least_s=0.05)
    for _ in range(Latencies.ENOUGH):
        hedge.latencies("slow").observe(0.2)
        hedge.latencies("fast").observe(0.001)
    assert hedge.after_s("slow") == pytest.approx(0.2)
    assert hedge.after_s("fast") == 0.05
    assert hedge.after_s("unknown") == inf
