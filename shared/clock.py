"""The time, and how it is written."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T12:00:00.123456Z`: the one way in which this system writes a time."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
