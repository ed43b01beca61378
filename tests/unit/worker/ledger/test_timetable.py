"""The times of schedules, also on the days on which clocks are set."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.worker.ledger.schedules import tick_id
from services.worker.ledger.timetable import InvalidSchedule, Timetable

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def times(cron: str, zone: str, start: str, count: int) -> list[str]:
    """Return the next times in UTC."""
    timetable, moment = Timetable(cron, zone), datetime.fromisoformat(start).replace(tzinfo=UTC)
    found = []
    for _ in range(count):
        moment = timetable.next_after(moment)
        assert moment.tzinfo is UTC
        found.append(f"{moment:%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "start", "expected"),
    [
        ("0 7 * * 1", BERLIN, "2026-03-23T05:00", ["03-23 06:00", "03-30 05:00"]),
        ("0 7 * * 1", BERLIN, "2026-10-19T04:00", ["10-19 05:00", "10-26 06:00"]),
        ("0 9 * * *", NEW_YORK, "2026-03-07T12:00", ["03-07 14:00", "03-08 13:00"]),
        ("0 9 * * *", NEW_YORK, "2026-10-31T12:00", ["10-31 13:00", "11-01 14:00"]),
    ],
)
def test_the_time_of_day_stays_the_same(cron: str, zone: str, start: str, expected: list[str]) -> None:
    """In UTC it moves by an hour."""
    assert times(cron, zone, start, 2) == expected


@pytest.mark.parametrize(
    ("zone", "start", "expected"),
    [
        (BERLIN, "2026-03-28T12:00", ["03-29 01:00", "03-30 00:30"]),
        (NEW_YORK, "2026-03-07T12:00", ["03-08 07:00", "03-09 06:30"]),
    ],
)
def test_a_time_that_does_not_exist_is_moved(zone: str, start: str, expected: list[str]) -> None:
    """Half past two does not exist on these days: the line runs at three."""
    assert times("30 2 * * *", zone, start, 2) == expected


@pytest.mark.parametrize(
    ("cron", "zone", "start", "expected"),
    [
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["10-25 00:30", "10-26 01:30"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31T12:00", ["11-01 05:30", "11-02 06:30"]),
    ],
)
def test_a_time_that_occurs_twice_counts_once(cron: str, zone: str, start: str, expected: list[str]) -> None:
    assert times(cron, zone, start, 2) == expected


@pytest.mark.parametrize(
    ("cron", "zone", "start"),
    [("45 2 * * *", BERLIN, "2026-10-25T01:30"), ("45 1 * * *", NEW_YORK, "2026-11-01T06:30")],
)
def test_a_repeated_hour_has_no_time_in_the_past(cron: str, zone: str, start: str) -> None:
    """Asked in the second run of the hour (`fold`), the next time is on the next day."""
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert moment.astimezone(ZoneInfo(zone)).fold == 1
    assert (Timetable(cron, zone).next_after(moment) - moment).days == 1


def test_an_hourly_line_runs_every_hour() -> None:
    """On the day with 25 hours it runs 25 times, on the one with 23 hours 23 times."""
    assert times("0 * * * *", BERLIN, "2026-10-24T23:30", 3) == ["10-25 00:00", "10-25 01:00", "10-25 02:00"]
    assert times("0 * * * *", BERLIN, "2026-03-28T23:30", 3) == ["03-29 00:00", "03-29 01:00", "03-29 02:00"]


@pytest.mark.parametrize(
    "cron", ["", "x", "* * * *", "* * * * * *", "60 * * * *", "0 0 31 2 *", "0 0 30 2 *", "0 0 * * 8", "@daily"]
)
def test_an_invalid_line_is_refused(cron: str) -> None:
    with pytest.raises(InvalidSchedule, match=r"cron line|no time"):
        Timetable(cron, "UTC")


@pytest.mark.parametrize("zone", ["", "Nowhere", "Europe", "/etc/passwd", "../UTC", "a\0b"])
def test_an_invalid_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidSchedule, match="time zone"):
        Timetable("* * * * *", zone)


def test_the_id_of_a_tick_is_the_same_everywhere() -> None:
    """It depends on the schedule and the time, and is a UUIDv7 of that time."""
    at = datetime(2026, 3, 29, 1, tzinfo=UTC)
    made = tick_id("weekly", at)
    assert made == tick_id("weekly", at.astimezone(ZoneInfo(BERLIN)))
    assert len({made, tick_id("daily", at), tick_id("weekly", at.replace(minute=1))}) == 3
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == int(at.timestamp() * 1000)
