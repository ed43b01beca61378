"""Keeps where each user's mail goes, from the users service's events, in whatever order they come."""

from collections.abc import Sequence

from services.worker.ledger.dead_letter import UNKNOWN
from services.worker.ledger.erasure import erased
from services.worker.ledger.job import Effect, Job, Policy
from services.worker.recipients.erasure import erase
from shared.contracts.events import Envelope, UserDeleted, UserRegistered, UserUpdated
from shared.db.engine import Connection

NAME = "recipients"
POLICY = Policy(attempts=12, backoff_base_s=0.5, backoff_cap_s=300, prefetch=20, concurrency=2)

KEEP = """
    INSERT INTO recipients AS kept (user_id, revision, email, name) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO UPDATE SET revision = excluded.revision, email = excluded.email, name = excluded.name
    WHERE kept.revision < excluded.revision
"""


def keep_with(jobs: Sequence[str]) -> Effect:
    """`jobs` are those that end with a user."""

    async def keep(connection: Connection, envelope: Envelope) -> None:
        """Only a higher revision replaces what is kept. A deleted user stays deleted."""
        match envelope.event:
            case UserRegistered() | UserUpdated() as user:
                if not await erased(connection, [user.user_id]):
                    await connection.execute(KEEP, user.user_id, user.revision, user.email, user.name)
            case UserDeleted() as user:
                await erase(connection, user.user_id, user.revision, [NAME, *jobs])

    return keep


def job(others: Sequence[Job] = ()) -> Job:
    ending = [other.name for other in others if other.policy.ends_with_user]
    return Job(name=NAME, policy=POLICY, effect=keep_with([*ending, UNKNOWN]))
