"""Stores each user's mail address, from the users service's events, in whatever order they arrive, and erases the
worker's data about a deleted user, as the models declare it.

Later jobs find that the user is deleted: `services.worker.ledger.erasure`.
"""

from uuid import UUID

from services.worker.jobs import JOBS, job
from services.worker.ledger.erasure import erased, lock_key
from services.worker.ledger.failures import UNKNOWN
from services.worker.models import Base
from shared.contracts.events import UserDeleted, UserRegistered, UserUpdated
from shared.db.engine import Connection
from shared.db.personal_data import erasure_of

LOCK = "SELECT pg_advisory_xact_lock($1)"
NAME = "recipients"
KEEP = """
    INSERT INTO recipients AS kept (user_id, revision, email, name, verified) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (user_id) DO UPDATE SET revision = excluded.revision, email = excluded.email, name = excluded.name,
        verified = excluded.verified
    WHERE kept.revision < excluded.revision
"""


@job(name=NAME, on=(UserRegistered, UserUpdated, UserDeleted), backoff_base_s=0.5, backoff_cap_s=300)
async def keep(event: UserRegistered | UserUpdated | UserDeleted, connection: Connection) -> None:
    """Only a higher revision replaces the stored one. A deleted user stays deleted."""
    match event:
        case UserDeleted() as user:
            await erase(connection, user.user_id, user.revision)
        case UserRegistered() | UserUpdated() as user:
            if not await erased(connection, [user.user_id]):
                kept = (user.email, user.name, user.email_verified)
                await connection.execute(KEEP, user.user_id, user.revision, *kept)


async def erase(connection: Connection, user_id: UUID, revision: int) -> None:
    """Erase once the user's running jobs have ended."""
    ending = [name for name, declared in JOBS.items() if declared.policy.ends_with_user]
    await connection.execute(LOCK, lock_key(user_id))
    values = {"user_id": user_id, "revision": revision, "jobs": [NAME, UNKNOWN, *ending]}
    for statement, arguments in erasure_of(Base, **values):
        await connection.execute(statement, *arguments)
