"""Identifiers: UUIDv7 (RFC 9562), so that primary keys sort by creation time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import uuid_utils

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)


def new_id(at: datetime | None = None) -> UUID:
    """Return a new UUIDv7; `at` (aware) sets its time, for rows that describe the past."""
    made = uuid_utils.uuid7() if at is None else uuid_utils.uuid7(nanoseconds=int(at.timestamp() * 1e9))
    return UUID(int=made.int)


def first_id(at: datetime, shift: timedelta = timedelta(0)) -> UUID:
    """Return an id that sorts before all that are made at `at` (aware) plus `shift` or later, and after all earlier
    ones. Times before 1970 have the first id of all."""
    ms = (at - EPOCH) // MS + shift // MS
    return UUID(int=max(0, ms) << 80)
