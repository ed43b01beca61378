"""What becomes of a deleted user: their data leaves the worker, and does not come back.

Of each user either one deletion or any number of jobs are under way, by an advisory lock: so a job either ends before
the deletion looks for what it wrote, or sees the tombstone.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.worker.email import send_log
from services.worker.models import Recipient
from shared.db.engine import Connection

LOCK = "SELECT pg_advisory_xact_lock($1)"
SHARE = "SELECT pg_advisory_xact_lock_shared(key) FROM unnest($1::bigint[]) AS key"
FIND_ERASED = "SELECT user_id FROM recipients WHERE user_id = ANY($1) AND email IS NULL"

# A row that is locked is being tried: that attempt waits for us, and finds the tombstone.
END_JOBS = """
    UPDATE jobs SET state = CASE WHEN state IN ('retrying', 'dead') THEN 'done' ELSE state END,
        next_attempt_at = NULL, last_error = NULL, error_group = NULL, payload = NULL, headers = NULL,
        updated_at = now()
    WHERE (job, event_id) IN (
        SELECT job, event_id FROM jobs WHERE user_id = $1 AND state <> 'done' AND job = ANY($2) FOR UPDATE SKIP LOCKED
    )
"""
BURY_RECIPIENT = """
    INSERT INTO recipients AS kept (user_id, revision, email, name) VALUES ($1, $2, NULL, NULL)
    ON CONFLICT (user_id) DO UPDATE
    SET revision = greatest(kept.revision, excluded.revision), email = NULL, name = NULL
"""
# Whoever is carrying one out finds at its next checkpoint that it has lost it. The purge deletes file and row.
END_IMPORTS = """
    UPDATE imports SET state = CASE WHEN state IN ('queued', 'running') THEN 'cancelled' ELSE state END,
        lease_id = NULL, filename = NULL, expires_at = now()
    WHERE user_id = $1 AND state <> 'uploading'
"""
FORGOTTEN = (
    "notifications",
    "reports",
    "import_errors",
    "webhook_deliveries",
    "webhooks",
)
"""Tables whose rows of a deleted user go; what else there is of one is dealt with below."""
FORGET_ERRORS = "UPDATE job_audit SET previous_error = NULL WHERE user_id = $1"


async def erased(connection: Connection, user_ids: Iterable[UUID]) -> set[UUID]:
    """Those who have been deleted. None of the others will be before this transaction ends."""
    asked = sorted(set(user_ids))
    await connection.execute(SHARE, [_key(user_id) for user_id in asked])
    return {row["user_id"] for row in await connection.fetch(FIND_ERASED, asked)}


async def is_erased(session: AsyncSession, user_id: UUID) -> bool:
    """The same of one user, in the session's transaction."""
    await session.execute(sa.text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _key(user_id)})
    tombstone = sa.select(Recipient.revision).where(Recipient.user_id == user_id, Recipient.email.is_(None))
    found = await session.scalar(tombstone)
    return found is not None


async def erase(connection: Connection, user_id: UUID, revision: int, jobs: Sequence[str]) -> None:
    """Once the jobs under way for this user have ended. `jobs` are those that end with a user."""
    await connection.execute(LOCK, _key(user_id))
    await connection.execute(END_JOBS, user_id, jobs)
    await connection.execute(BURY_RECIPIENT, user_id, revision)
    await send_log.forget(connection, user_id)
    await connection.execute(END_IMPORTS, user_id)
    for table in FORGOTTEN:
        await connection.execute(f"DELETE FROM {table} WHERE user_id = $1", user_id)  # noqa: S608  constants
    await connection.execute(FORGET_ERRORS, user_id)


def _key(user_id: UUID) -> int:
    """The random end of the id, as a bigint."""
    return user_id.int & (2**63 - 1)
