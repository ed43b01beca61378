"""Identifiers: UUIDv7 (RFC 9562), so that primary keys sort by the time they were made."""

from datetime import datetime
from uuid import UUID

import uuid_utils


def new_id(at: datetime | None = None) -> UUID:
    """A new UUIDv7; `at` (aware) sets its time part, for rows that describe something of the past."""
    made = uuid_utils.uuid7() if at is None else uuid_utils.uuid7(nanoseconds=int(at.timestamp() * 1e9))
    return UUID(int=made.int)
