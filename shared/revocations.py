"""What the users service tells gateways about sessions and users whose access tokens no longer count.

GET /internal/revocations?after=<cursor of the last answer, or 0>  →  `Revocations`
"""

from uuid import UUID

import msgspec

PATH = "/internal/revocations"
MAX_PAGE = 10_000
"""Ids in one answer, at most; the cursor of a full answer leads to the next."""


class Revocations(msgspec.Struct, frozen=True):
    """Ids that ended since the cursor that was asked for; an id may come more than once."""

    cursor: int
    sessions: tuple[UUID, ...]
    users: tuple[UUID, ...]
