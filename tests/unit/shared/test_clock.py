"""The format of times."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st

from shared.clock import Stamps, rfc3339

MOMENTS = st.integers(0, 4_102_444_800 * 1_000_000).map(lambda microseconds: microseconds / 1_000_000)


def test_a_time_is_written_in_utc() -> None:
    """This applies to times in any zone."""
    here = datetime(2026, 1, 31, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(here) == "2026-01-31T12:30:00.123456Z"


@given(MOMENTS)
@example(0.0)
@example(1_769_860_800.9999999)
@example(1_769_860_799.9999998)
def test_a_stamp_is_the_time(moment: float) -> None:
    """A stamp has microseconds, truncated or rounded, and always six digits."""
    stamp = Stamps().of(moment)
    assert len(stamp) == len("2026-01-31T12:00:00.123456Z")
    written = datetime.fromisoformat(stamp.decode())
    assert abs(written - datetime.fromtimestamp(moment, UTC)) <= timedelta(microseconds=1)
    assert stamp.decode() == written.isoformat(timespec="microseconds").replace("+00:00", "Z")


@given(st.lists(MOMENTS | st.floats(0, 3), min_size=1, max_size=20))
def test_stamps_do_not_depend_on_those_before(moments: list[float]) -> None:
    """The next stamp may be in the same second, in the next, or earlier."""
    stamps = Stamps()
    assert [stamps.of(moment) for moment in moments] == [Stamps().of(moment) for moment in moments]


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)))  # noqa: DTZ001  made aware below
def test_a_stamp_equals_rfc3339(when: datetime) -> None:
    """They are equal for all times that both support, except for a microsecond of a float's precision."""
    moment = when.replace(tzinfo=UTC, microsecond=max(1, when.microsecond))
    close = {rfc3339(moment + timedelta(microseconds=off)) for off in (0, -1)}
    stamp = Stamps().of(moment.timestamp()).decode()
    assert stamp in close | {text.replace("Z", ".000000Z") for text in close if "." not in text}
