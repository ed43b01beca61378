"""The time, and how it is written."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T12:00:00.123456Z`: the one way in which this system writes a time."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Stamps:
    """Writes times of one clock as `rfc3339` does: mostly they are of the same second as the one before."""

    def __init__(self) -> None:
        self._second = -1
        self._form = b""

    def of(self, moment: float) -> bytes:
        """Of a Unix time."""
        second = int(moment)
        if second != self._second:
            self._second = second
            self._form = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.%%06dZ").encode()
        return self._form % ((moment - second) * 1_000_000)
