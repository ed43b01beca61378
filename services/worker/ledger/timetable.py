"""The times of a schedule: a cron line in a time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


class InvalidSchedule(ValueError):
    """A cron line or a time zone is invalid."""


class Timetable:
    """`cron` has five fields; `timezone` is an IANA name."""

    def __init__(self, cron: str, timezone: str) -> None:
        try:
            self._zone = ZoneInfo(timezone)
        except (ValueError, OSError) as unknown:  # ZoneInfoNotFoundError is a KeyError
            raise InvalidSchedule(f"{timezone!r} is not a time zone") from unknown
        except KeyError:
            raise InvalidSchedule(f"{timezone!r} is not a time zone") from None
        self._cron = cron
        try:
            next(CronSim(cron, datetime.now(self._zone)))
        except CronSimError as invalid:
            raise InvalidSchedule(f"{cron!r} is not a cron line: {invalid}") from None
        except StopIteration:
            raise InvalidSchedule(f"{cron!r} has no time") from None

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time after `moment`, in UTC."""
        return next(CronSim(self._cron, moment.astimezone(self._zone))).astimezone(UTC)
