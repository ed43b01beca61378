"""When a background task begins again."""

import pytest

from shared.restarts import Failures, RestartPolicy

POLICY = RestartPolicy(first_pause_s=1, longest_pause_s=3, most=3, within_s=100)


def test_pauses_grow_to_the_longest() -> None:
    """Doubling, each with some jitter."""
    failures = Failures(RestartPolicy(first_pause_s=1, longest_pause_s=3, most=9, within_s=100))
    for longest in (1, 2, 3, 3):
        assert failures.pause_s(0) == pytest.approx(longest * 7 / 8, abs=longest / 8)


def test_too_many_within_the_time() -> None:
    """So many are borne, one more is not."""
    failures = Failures(POLICY)
    assert [failures.pause_s(now) is None for now in (0, 30, 60, 99)] == [False, False, False, True]


def test_old_failures_are_forgiven() -> None:
    """What fails now and then begins again for ever, and soon."""
    failures = Failures(POLICY)
    pauses = [failures.pause_s(now) for now in range(0, 1000, 101)]
    assert all(pause is not None and pause <= 1 for pause in pauses)
