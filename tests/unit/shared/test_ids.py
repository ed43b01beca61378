"""Ids sort by the time at which they are made."""

from datetime import UTC, datetime, timedelta

from shared.ids import first_id, new_id

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_first_id_of_a_time_separates_earlier_from_later() -> None:
    """To the millisecond; `shift` moves the time."""
    assert new_id(AT - timedelta(milliseconds=1)) < first_id(AT) < new_id(AT)
    assert first_id(AT, timedelta(hours=1)) == first_id(AT + timedelta(hours=1))


def test_every_time_has_a_first_id() -> None:
    """Also the earliest and the latest that there are, and beyond."""
    earliest = first_id(datetime.min.replace(tzinfo=UTC), -timedelta(days=1))
    latest = first_id(datetime.max.replace(tzinfo=UTC), timedelta(days=1))
    assert earliest.int == 0
    assert new_id() < latest
