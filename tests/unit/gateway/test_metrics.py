"""Counters in plain integers."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from services.gateway.metrics import Tally

A, B, C = ("a", "1"), ("b", "1"), ("c", "2")


@pytest.fixture
def tally() -> Iterator[Tally]:
    tally = Tally(f"example_{uuid4().hex}_total", "Of this test.", ["name", "number"])
    yield tally
    REGISTRY.unregister(tally)


def exposed(tally: Tally) -> dict[tuple[str, ...], float]:
    [family] = tally.collect()
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def test_it_counts_by_labels(tally: Tally) -> None:
    """What was counted is exposed; what was not is not there."""
    tally.counts[A] += 1
    tally.counts[A] += 2
    tally.counts[B] += 1
    assert exposed(tally) == {A: 3, B: 1}
    [family] = tally.collect()
    assert {sample.name for sample in family.samples} == {f"{family.name}_total"}


def test_a_group_counts_all_of_its_labels(tally: Tally) -> None:
    """Beside what is counted one by one, and in other groups."""
    both, other = tally.group(A, B), tally.group(B, C)
    both.times += 3
    other.times += 1
    tally.counts[A] += 1
    assert tally.totals() == {A: 4, B: 4, C: 1}
    assert exposed(tally) == tally.totals()
    assert tally.counts == {A: 1}, "reading the totals adds nothing"


def test_there_is_one_group_for_the_same_labels(tally: Tally) -> None:
    """However often it is asked for: groups are never forgotten."""
    assert tally.group(A, B) is tally.group(A, B)
    assert tally.group(B, A) is not tally.group(A, B)


def test_labels_that_are_named_twice_count_twice(tally: Tally) -> None:
    tally.group(A, A).times += 2
    assert tally.totals() == {A: 4}
