"""Erases what the worker keeps of a deleted user.

Jobs that come later find that the user is deleted: `services.worker.ledger.erasure`.
"""

from collections.abc import Sequence
from uuid import UUID

from services.worker.email import send_log
from services.worker.ledger.erasure import lock_key
from shared.db.engine import Connection

LOCK = "SELECT pg_advisory_xact_lock($1)"
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


async def erase(connection: Connection, user_id: UUID, revision: int, jobs: Sequence[str]) -> None:
    """Once the jobs under way for this user have ended. `jobs` are those that end with a user."""
    await connection.execute(LOCK, lock_key(user_id))
    await connection.execute(END_JOBS, user_id, jobs)
    await connection.execute(BURY_RECIPIENT, user_id, revision)
    await send_log.forget(connection, user_id)
    await connection.execute(END_IMPORTS, user_id)
    for table in FORGOTTEN:
        await connection.execute(f"DELETE FROM {table} WHERE user_id = $1", user_id)  # noqa: S608  constants
    await connection.execute(FORGET_ERRORS, user_id)
