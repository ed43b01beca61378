"""The history of jobs: what a process counts by minute, and the median of durations."""

import math
from datetime import UTC, datetime
from uuid import uuid4

from services.worker import metrics
from services.worker.ledger.history import BOUNDS_S, Counts, counted, median_ms, minute_of


def durations(**counts: int) -> list[int]:
    """Return one count for each bound; the others are zero."""
    return [counts.get(f"b{place}", 0) for place in range(len(BOUNDS_S))]


def test_the_median_is_within_its_bucket() -> None:
    """Half of the attempts took at most the median; those beyond the last bound count as that long."""
    assert median_ms(durations()) is None
    first, second = BOUNDS_S[:2]
    assert median_ms(durations(b0=1, b1=2)) == round((first + (second - first) / 4) * 1000, 2)
    assert math.isinf(BOUNDS_S[-1])
    assert median_ms([0] * (len(BOUNDS_S) - 1) + [3]) == BOUNDS_S[-2] * 1000


def test_attempts_are_counted_by_outcome_and_duration() -> None:
    """Duplicates have no outcome of their own, but take time."""
    job = f"test-{uuid4().hex[:8]}"
    before = counted().get(job, Counts())
    for outcome in ("done", "done", "retrying", "dead", "duplicate"):
        metrics.count_attempt(job, outcome, 0.002)
    more = counted()[job] - before
    assert (more.done, more.failed, more.retried) == (2, 1, 1)
    assert more.durations == tuple(durations(b1=5))
    assert more
    assert not more - more


def test_a_minute_begins_with_its_first_second() -> None:
    at = datetime(2026, 1, 31, 12, 34, tzinfo=UTC)
    assert minute_of(at.timestamp()) == minute_of(at.timestamp() + 59.9) == at
