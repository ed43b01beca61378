"""Whether a user has been deleted: then nothing more is written about them.

Of each user either one deletion or any number of jobs are in progress, by an advisory lock. A job either ends before
the deletion looks for what it wrote, or finds that the user is deleted.
"""

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.worker.models import Recipient
from shared.db.engine import Connection

SHARE = "SELECT pg_advisory_xact_lock_shared(key) FROM unnest($1::bigint[]) AS key"
FIND_ERASED = "SELECT user_id FROM recipients WHERE user_id = ANY($1) AND email IS NULL"


async def erased(connection: Connection, user_ids: Iterable[UUID]) -> set[UUID]:
    """Those who have been deleted. None of the others will be before this transaction ends."""
    asked = sorted(set(user_ids))
    await connection.execute(SHARE, [lock_key(user_id) for user_id in asked])
    return {row["user_id"] for row in await connection.fetch(FIND_ERASED, asked)}


async def is_erased(session: AsyncSession, user_id: UUID) -> bool:
    """The same of one user, in the session's transaction."""
    await session.execute(sa.text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": lock_key(user_id)})
    tombstone = sa.select(Recipient.revision).where(Recipient.user_id == user_id, Recipient.email.is_(None))
    found = await session.scalar(tombstone)
    return found is not None


def lock_key(user_id: UUID) -> int:
    """The random end of the id, as a bigint."""
    return user_id.int & (2**63 - 1)
