"""Reads of many callers in one."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
from redis.asyncio import Redis

from services.gateway.dashboard.stale_store import BatchedGet
from tests.support.virtual import Clock, run_virtually

TIMEOUT_S = 0.05


class Store:
    """Answers after so many seconds each; keeps what it was asked for."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = iter(seconds)
        self.asked: list[Sequence[str]] = []

    async def mget(self, keys: Sequence[str]) -> Sequence[str]:
        self.asked.append(keys)
        await asyncio.sleep(next(self._seconds))
        return [f"value of {key}" for key in keys]


def read(store: Store, *arrivals: float) -> list[Sequence[str] | BaseException]:
    """What becomes of callers who come at these times."""

    async def run(clock: Clock) -> list[Sequence[str] | BaseException]:
        reads, began = BatchedGet(cast("Redis", store), TIMEOUT_S), clock()

        async def caller(number: int, at: float) -> Sequence[str]:
            await asyncio.sleep(at)
            try:
                return cast("Sequence[str]", await reads.get([str(number)]))
            finally:
                assert clock() - began <= at + TIMEOUT_S + 0.001

        tasks = (caller(number, at) for number, at in enumerate(arrivals))
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    return run_virtually(run)


def test_what_is_wanted_while_one_read_is_under_way_goes_into_the_next() -> None:
    """Each gets their own values."""
    store = Store(0.01, 0.01)
    assert read(store, 0, 0.001, 0.002) == [["value of 0"], ["value of 1"], ["value of 2"]]
    assert store.asked == [["0"], ["1", "2"]]


@pytest.mark.parametrize("late_by", [0.001, 0.02, 0.044])
def test_who_waited_for_the_next_read_has_no_less_time_for_being_in_company(late_by: float) -> None:
    """One has waited for 45 ms when the second read begins, another has just come; it takes 40 ms."""
    found = read(Store(0.046, 0.04), 0, 0.001, late_by)
    late = [arrival for arrival in (0.001, late_by) if arrival + TIMEOUT_S < 0.086]
    assert [isinstance(each, TimeoutError) for each in found] == [False, *(each in late for each in (0.001, late_by))]


def test_a_store_that_hangs_costs_each_caller_their_own_time() -> None:
    """And not that of those before them."""
    found = read(Store(60, 60, 60), 0, 0.02, 0.04)
    assert [type(each) for each in found] == [TimeoutError] * 3
