"""The times of a schedule: a cron line in a time zone.

A time that does not exist because clocks are set forward is moved to the first one that does. A time that occurs twice
because clocks are set back counts once, unless the line runs every hour or every few minutes.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

FIELDS = 5


class InvalidSchedule(ValueError):
    """A cron line or a time zone is invalid."""


class Timetable:
    """`cron` has five fields; `timezone` is an IANA name. Raises `InvalidSchedule`."""

    def __init__(self, cron: str, timezone: str) -> None:
        try:
            self._zone = ZoneInfo(timezone)
        except (KeyError, ValueError, OSError) as unknown:  # ZoneInfoNotFoundError is a KeyError
            raise InvalidSchedule(f"{timezone!r} is not a time zone") from unknown
        if len(cron.split()) != FIELDS:
            raise InvalidSchedule(f"{cron!r} is not a cron line: it needs {FIELDS} fields")
        self._cron = cron
        try:
            next(CronSim(cron, datetime.now(self._zone)))
        except CronSimError as invalid:
            raise InvalidSchedule(f"{cron!r} is not a cron line: {invalid}") from invalid
        except StopIteration as never:
            raise InvalidSchedule(f"{cron!r} has no time") from never

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time after `moment`, in UTC."""
        # While an hour is repeated, cronsim may return a time in its first run.
        times = (time.astimezone(UTC) for time in CronSim(self._cron, moment.astimezone(self._zone)))
        return next(time for time in times if time > moment)
