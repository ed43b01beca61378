"""Stores each user's mail address, from the users service's events, in whatever order they arrive, and erases the
worker's data about a deleted user.

Later jobs find that the user is deleted: `services.worker.ledger.erasure`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.worker.email import send_log
from services.worker.jobs import job
from services.worker.ledger.erasure import erased, lock_key
from services.worker.ledger.failures import UNKNOWN
from shared.contracts.events import UserDeleted, UserRegistered, UserUpdated
from shared.db.engine import Connection

LOCK = "SELECT pg_advisory_xact_lock($1)"
# A locked row is being tried: that attempt waits for this transaction, and finds the tombstone.
END_JOBS = """
    UPDATE jobs SET state = CASE WHEN state IN ('retrying', 'dead') THEN 'done' ELSE state END,
        next_attempt_at = NULL, last_error = NULL, error_group = NULL, payload = NULL, headers = NULL,
        updated_at = now()
    WHERE (job, event_id) IN (
        SELECT job, event_id FROM jobs WHERE user_id = $1 AND state <> 'done' AND job = ANY($2) FOR UPDATE SKIP LOCKED
    )
"""
ERASE_RECIPIENT = """
    INSERT INTO recipients AS kept (user_id, revision, email, name) VALUES ($1, $2, NULL, NULL)
    ON CONFLICT (user_id) DO UPDATE
    SET revision = greatest(kept.revision, excluded.revision), email = NULL, name = NULL
"""
FORGET_ERRORS = "UPDATE job_audit SET previous_error = NULL WHERE user_id = $1"
NAME = "recipients"
KEEP = """
    INSERT INTO recipients AS kept (user_id, revision, email, name) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO UPDATE SET revision = excluded.revision, email = excluded.email, name = excluded.name
    WHERE kept.revision < excluded.revision
"""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is erased with a user: the unfinished rows of `jobs`, and what the SQL statements delete, whose argument is
    the user's id."""

    jobs: Sequence[str]
    statements: Sequence[str]


@job(name=NAME, on=(UserRegistered, UserUpdated, UserDeleted), backoff_base_s=0.5, backoff_cap_s=300)
async def keep(event: UserRegistered | UserUpdated | UserDeleted, connection: Connection, erasure: Erasure) -> None:
    """Only a higher revision replaces the stored one. A deleted user stays deleted."""
    match event:
        case UserDeleted() as user:
            await erase(connection, user.user_id, user.revision, erasure)
        case UserRegistered() | UserUpdated() as user:
            if not await erased(connection, [user.user_id]):
                await connection.execute(KEEP, user.user_id, user.revision, user.email, user.name)


async def erase(connection: Connection, user_id: UUID, revision: int, erasure: Erasure) -> None:
    """Erase once the user's running jobs have ended."""
    await connection.execute(LOCK, lock_key(user_id))
    await connection.execute(END_JOBS, user_id, [NAME, UNKNOWN, *erasure.jobs])
    await connection.execute(ERASE_RECIPIENT, user_id, revision)
    await send_log.forget(connection, user_id)
    await connection.execute(FORGET_ERRORS, user_id)
    for statement in erasure.statements:
        await connection.execute(statement, user_id)
