"""Fuzz tests of readers of external input: short in every run, long with `make fuzz`."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.fuzz.targets import TARGETS

FEW, MANY = 50, int(os.environ.get("FUZZ_EXAMPLES", "20000"))


def fuzz(name: str, examples: int, *, same_each_time: bool) -> None:
    target = TARGETS[name]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=same_each_time,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.draw)
    def each(drawn: Any) -> None:
        target.run(drawn)

    each()


@pytest.mark.parametrize("name", TARGETS)
def test_anything_is_read_or_refused(name: str) -> None:
    """Each reader raises only its own error for unreadable input. The input is the same each time."""
    fuzz(name, FEW, same_each_time=True)


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_much_more_of_it(name: str) -> None:
    """The same with different input each time. A failure is shrunk, and printed so that it can be repeated."""
    fuzz(name, MANY, same_each_time=False)
