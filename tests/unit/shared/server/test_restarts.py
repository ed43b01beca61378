"""The restarts of background tasks."""

import pytest

from shared.server.background import Failures, RestartPolicy

POLICY = RestartPolicy(first_pause_s=1, longest_pause_s=3)


def test_pauses_grow_to_the_longest() -> None:
    """Pauses double, each with some jitter, and then stay at the maximum."""
    failures = Failures(POLICY)
    for longest in (1, 2, 3, 3):
        assert failures.pause_s() == pytest.approx(longest * 7 / 8, abs=longest / 8)
    assert max(failures.pause_s() for _ in range(10_000)) <= 3


def test_a_recovered_task_starts_again_soon() -> None:
    """Its earlier failures do not count."""
    failures = Failures(POLICY)
    for _ in range(5):
        failures.pause_s()
    failures.reset()
    assert failures.pause_s() <= 1
