"""The days of a time zone, and their sums."""

from datetime import UTC, date, datetime, timedelta

import pytest

from services.orders.daily import Part, moments_of, summed, zone_of
from shared.errors import InvalidInput


@pytest.mark.parametrize(("last", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)])
def test_a_day_has_as_many_hours_as_its_clock(last: date, hours: int) -> None:
    """Where clocks change, a day has 23 or 25."""
    start, end = moments_of(last, 1, zone_of("Europe/Berlin"))
    assert end - start == timedelta(hours=hours)


def test_the_last_moment_is_the_end_of_the_last_day() -> None:
    assert moments_of(date(2026, 1, 2), 2, zone_of("UTC")) == [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]


def test_a_day_without_orders_has_zeros() -> None:
    """Days before the period are summed up alone; a currency without an amount is left out."""
    parts = [Part(0, "EUR", 1, 5), Part(1, "EUR", 1, 6), Part(3, "EUR", 2, 10**20), Part(3, "USD", 1, 0)]
    found = summed(parts, date(2026, 1, 4), 2, "UTC")
    assert [(each.day.day, each.orders, each.revenue) for each in found.items] == [(3, 0, {}), (4, 3, {"EUR": 10**20})]
    assert (found.previous.orders, found.previous.revenue) == (2, {"EUR": 11})
    assert (found.previous.last_day, found.total.first_day) == (date(2026, 1, 2), date(2026, 1, 3))


@pytest.mark.parametrize("name", ["", "Mars", "/etc/passwd", "..", "a\0b", "Europe"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        zone_of(name)
