"""Stores each user's mail address, from the users service's events, in whatever order they arrive, and erases the
worker's data about a deleted user, as the models declare it.

Later jobs find that the user is deleted: `services.worker.ledger.erasure`.
"""

from collections.abc import Sequence
from uuid import UUID

from services.worker.ledger.erasure import erased, lock_key
from services.worker.ledger.failures import UNKNOWN
from services.worker.ledger.job import Effect, Job, Policy
from services.worker.models import Base
from shared.contracts.events import Envelope, UserDeleted, UserRegistered, UserUpdated
from shared.db.engine import Connection
from shared.db.personal_data import erasure_of

LOCK = "SELECT pg_advisory_xact_lock($1)"
NAME = "recipients"
POLICY = Policy(attempts=12, backoff_base_s=0.5, backoff_cap_s=300, prefetch=20, concurrency=2)
KEEP = """
    INSERT INTO recipients AS kept (user_id, revision, email, name) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO UPDATE SET revision = excluded.revision, email = excluded.email, name = excluded.name
    WHERE kept.revision < excluded.revision
"""


async def erase(connection: Connection, user_id: UUID, revision: int, jobs: Sequence[str]) -> None:
    """Erase once the user's running jobs have ended. `jobs` are those that end with a user."""
    await connection.execute(LOCK, lock_key(user_id))
    for statement, values in erasure_of(Base, user_id=user_id, revision=revision, jobs=jobs):
        await connection.execute(statement, *values)


def keep_with(jobs: Sequence[str]) -> Effect:
    """`jobs` are those that end with a user."""

    async def keep(connection: Connection, envelope: Envelope) -> None:
        """Only a higher revision replaces the stored one. A deleted user stays deleted."""
        match envelope.event:
            case UserRegistered() | UserUpdated() as user:
                if not await erased(connection, [user.user_id]):
                    await connection.execute(KEEP, user.user_id, user.revision, user.email, user.name)
            case UserDeleted() as user:
                await erase(connection, user.user_id, user.revision, [NAME, *jobs])

    return keep


def job(others: Sequence[Job]) -> Job:
    ending = [other.name for other in others if other.policy.ends_with_user]
    return Job(name=NAME, policy=POLICY, effect=keep_with([*ending, UNKNOWN]))
