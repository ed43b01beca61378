"""The current time and its text format."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time, timezone-aware, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """Format a time as `2026-01-31T12:00:00.123456Z`, the only time format of this system."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Stamps:
    """Format times like `rfc3339`, reusing the previous second's text: most calls fall into the same second."""

    def __init__(self) -> None:
        self._second = -1
        self._form = b""

    def of(self, moment: float) -> bytes:
        """Format a Unix time."""
        second = int(moment)
        if second != self._second:
            self._second = second
            self._form = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.%%06dZ").encode()
        return self._form % ((moment - second) * 1_000_000)
