"""Stores each user's mail address, from the users service's events, in whatever order they arrive, and erases the
worker's data about a deleted user.

Later jobs find that the user is deleted: `services.worker.ledger.erasure`.
"""

from collections.abc import Sequence
from uuid import UUID

from services.worker.email import send_log
from services.worker.ledger.erasure import erased, lock_key
from services.worker.ledger.failures import UNKNOWN
from services.worker.ledger.job import Effect, Job, Policy
from shared.contracts.events import Envelope, UserDeleted, UserRegistered, UserUpdated
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
POLICY = Policy(attempts=12, backoff_base_s=0.5, backoff_cap_s=300, prefetch=20, concurrency=2)
KEEP = """
    INSERT INTO recipients AS kept (user_id, revision, email, name) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO UPDATE SET revision = excluded.revision, email = excluded.email, name = excluded.name
    WHERE kept.revision < excluded.revision
"""


async def erase(
    connection: Connection, user_id: UUID, revision: int, jobs: Sequence[str], statements: Sequence[str]
) -> None:
    """Erase once the user's running jobs have ended. `jobs` are those that end with a user; the statements erase the
    data of features."""
    await connection.execute(LOCK, lock_key(user_id))
    await connection.execute(END_JOBS, user_id, jobs)
    await connection.execute(ERASE_RECIPIENT, user_id, revision)
    await send_log.forget(connection, user_id)
    await connection.execute(FORGET_ERRORS, user_id)
    for statement in statements:
        await connection.execute(statement, user_id)


def keep_with(jobs: Sequence[str], statements: Sequence[str]) -> Effect:
    """The arguments are those of `erase`."""

    async def keep(connection: Connection, envelope: Envelope) -> None:
        """Only a higher revision replaces the stored one. A deleted user stays deleted."""
        match envelope.event:
            case UserRegistered() | UserUpdated() as user:
                if not await erased(connection, [user.user_id]):
                    await connection.execute(KEEP, user.user_id, user.revision, user.email, user.name)
            case UserDeleted() as user:
                await erase(connection, user.user_id, user.revision, [NAME, *jobs], statements)

    return keep


def job(others: Sequence[Job], erasure: Sequence[str]) -> Job:
    """`erasure`: SQL statements that erase the data of a deleted user, whose id is their argument."""
    ending = [other.name for other in others if other.policy.ends_with_user]
    return Job(name=NAME, policy=POLICY, effect=keep_with([*ending, UNKNOWN], erasure))
