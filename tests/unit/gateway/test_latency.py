"""Percentiles of the last minute, from cumulative buckets."""

from math import inf

import pytest

from services.gateway.latency import FEWEST, Latencies, Percentiles, percentiles
from shared.observability.histogram import Histogram

BEFORE = {0.01: 100.0, 0.1: 100.0, inf: 100.0}


def test_only_what_came_since_counts() -> None:
    """A hundred calls before the window say nothing of the twenty in it, spread over their bucket."""
    now = {0.01: 100.0, 0.1: 120.0, inf: 120.0}
    assert percentiles(now, BEFORE) == Percentiles(20, 55.0, 95.5, 99.1)


def test_what_is_beyond_the_last_bound_is_at_least_that() -> None:
    now = {0.01: 101.0, 0.1: 101.0, inf: 140.0}
    assert percentiles(now, BEFORE) == Percentiles(40, 100.0, 100.0, 100.0)


@pytest.mark.parametrize("calls", [1, FEWEST - 1])
def test_a_few_calls_have_no_percentiles(calls: int) -> None:
    assert percentiles({0.1: 100.0 + calls, inf: 100.0 + calls}, {0.1: 100.0, inf: 100.0}) == Percentiles(calls)


def test_without_calls_there_are_no_percentiles() -> None:
    assert percentiles(BEFORE, BEFORE) == Percentiles(0)
    assert percentiles({}, {}) == Percentiles(0)


def test_labels_are_told_apart() -> None:
    """What was there when the watch began is not of the last minute."""
    histogram = Histogram("latency_test_seconds", "x", ["panel"], buckets=(0.1, 1))
    histogram.labels("user").observe(0.5)
    latencies = Latencies(histogram, "panel")
    histogram.labels("orders").observe(0.05)
    lately = latencies.lately()
    assert (lately["user"].calls, lately["orders"].calls) == (0, 1)
