"""Counts of one gateway alone."""

from services.gateway.limits.redis_counter import OwnCounts


def test_counts_alone_are_given_back_and_forgotten() -> None:
    """What is over takes no memory for long."""
    counts = OwnCounts()
    assert [counts.add("ann", 60, more, now=0) for more in (1, 1, -1, 1)] == [1, 2, 1, 2]
    for second in range(3 * counts.PURGE_FROM):
        counts.add(str(second), 60, 1, now=second)
    assert len(counts) <= counts.PURGE_FROM
