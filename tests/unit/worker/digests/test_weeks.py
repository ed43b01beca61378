"""The week of a digest."""

from datetime import UTC, date, datetime

import pytest

from services.worker.digests.job import Totals, days_of, last_week


@pytest.mark.parametrize(
    ("moment", "monday"),
    [
        (datetime(2026, 1, 26, 6, tzinfo=UTC), date(2026, 1, 19)),  # Monday at seven, in winter
        (datetime(2026, 7, 27, 5, tzinfo=UTC), date(2026, 7, 20)),  # and in summer
        (datetime(2026, 1, 25, 22, 59, tzinfo=UTC), date(2026, 1, 12)),  # Sunday, a minute before midnight in Berlin
        (datetime(2026, 1, 25, 23, 0, tzinfo=UTC), date(2026, 1, 19)),  # Monday there, Sunday in UTC
        (datetime(2026, 2, 1, 12, tzinfo=UTC), date(2026, 1, 19)),  # late, on Sunday: still the week before
        (datetime(2026, 3, 30, 5, tzinfo=UTC), date(2026, 3, 23)),  # the day after clocks are set forward
        (datetime(2026, 10, 26, 6, tzinfo=UTC), date(2026, 10, 19)),  # and back
        (datetime(2027, 1, 4, 6, tzinfo=UTC), date(2026, 12, 28)),  # across the year
    ],
)
def test_the_last_week(moment: datetime, monday: date) -> None:
    """It begins on the Monday before the current week, in Berlin."""
    assert last_week(moment) == monday
    assert monday.weekday() == 0


@pytest.mark.parametrize(
    ("week", "days"),
    [
        (date(2026, 1, 5), "5 to 11 January 2026"),
        (date(2026, 6, 29), "29 June to 5 July 2026"),
        (date(2026, 12, 28), "28 December 2026 to 3 January 2027"),
    ],
)
def test_days_in_words(week: date, days: str) -> None:
    assert days_of(week) == days


@pytest.mark.parametrize(
    ("totals", "is_empty"),
    [
        (Totals(0, [], 0), True),
        (Totals(1, [], 0), False),
        (Totals(0, ["1.00 EUR"], 0), False),
        (Totals(0, [], 1), False),
    ],
)
def test_nothing_to_report(totals: Totals, *, is_empty: bool) -> None:
    assert totals.is_empty is is_empty
