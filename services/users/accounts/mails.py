"""Mails about accounts. Each is a task of the worker, which asks this service for the link when it sends the mail.

Anyone can request a mail to any address. So their number is limited by address, whichever account names it.
"""

import hashlib
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.models import User
from shared.contracts.internal_api import Purpose
from shared.contracts.tasks import (
    SendAddressChange,
    SendAddressVerification,
    SendPasswordReset,
    SendSecurityNotice,
    Task,
)
from shared.db.engine import Database, clock
from shared.outbox.tasks import DurableTasks

MOST, WINDOW = 5, timedelta(days=1)
"""The number of mails for one purpose to one address."""
PAUSE = timedelta(minutes=1)
"""The pause after a mail that was requested."""
NO_PAUSE = timedelta(0)
TASKS: dict[Purpose, type[SendAddressVerification | SendAddressChange | SendPasswordReset]] = {
    "verify": SendAddressVerification,
    "change": SendAddressChange,
    "reset": SendPasswordReset,
}

COUNT = sa.text("""
    INSERT INTO mail_requests AS known (address_hash, purpose, window_began_at, requests, paused_until)
    VALUES (:address_hash, :purpose, now(), 1, now() + :pause)
    ON CONFLICT (address_hash, purpose) DO UPDATE SET
        window_began_at = CASE WHEN known.window_began_at <= now() - :window THEN now() ELSE known.window_began_at END,
        requests = CASE WHEN known.window_began_at <= now() - :window THEN 1 ELSE known.requests + 1 END,
        paused_until = excluded.paused_until
    WHERE known.paused_until <= now() AND (known.requests < :most OR known.window_began_at <= now() - :window)
    RETURNING true
""").bindparams(*(sa.bindparam(name, type_=sa.Interval) for name in ("pause", "window")))
WAIT = sa.text("""
    SELECT greatest(paused_until, CASE WHEN requests >= :most THEN window_began_at + :window END) - clock_timestamp()
    FROM mail_requests WHERE address_hash = :address_hash AND purpose = :purpose
""").bindparams(sa.bindparam("window", type_=sa.Interval))
END_PAUSE = sa.text("""
    UPDATE mail_requests SET paused_until = now() WHERE address_hash = :address_hash AND purpose = :purpose
""")
EXPIRE = """
    WITH tokens AS (DELETE FROM mail_tokens WHERE expires_at < now())
    DELETE FROM mail_requests WHERE window_began_at < now() - $1::interval
"""
EXPIRY_EVERY_S = 3600


async def count(session: AsyncSession, purpose: Purpose, email: str, pause: timedelta = PAUSE) -> timedelta:
    """Count a mail. Returns zero, or, if there were too many, how long to wait; then it is not counted."""
    key = {"address_hash": address_hash(email), "purpose": purpose}
    limits = {"most": MOST, "window": WINDOW}
    if await session.scalar(COUNT, key | limits | {"pause": pause}):
        return timedelta(0)
    wait: timedelta = await session.scalar(WAIT, key | limits) or PAUSE
    return max(wait, timedelta(seconds=1))


async def end_pause(session: AsyncSession, purpose: Purpose, email: str) -> None:
    """Allow another request at once, because the link of the last one has been used."""
    await session.execute(END_PAUSE, {"address_hash": address_hash(email), "purpose": purpose})


def send_link(session: AsyncSession, user_id: UUID, purpose: Purpose, email: str, after: timedelta = NO_PAUSE) -> None:
    """Send a mail with a link, in the session's transaction. Of several that wait, one is sent."""
    key = f"{user_id}:{address_hash(email).hex()[:16]}"
    _add(session, TASKS[purpose](user_id=user_id, email=email), after, key)


async def send_verification(session: AsyncSession, user: User) -> None:
    """Send the first mail of a new account; later, if the address has had too many."""
    send_link(session, user.id, "verify", user.email, await count(session, "verify", user.email, NO_PAUSE))


async def send_notice(session: AsyncSession, user: User, notice: str) -> None:
    """Tell the owner of the present address what has happened to the account."""
    at = await clock(session)
    _add(
        session,
        SendSecurityNotice(user_id=user.id, email=user.email, notice=notice, at=at, verified=user.email_verified),
    )


def _add(session: AsyncSession, task: Task, after: timedelta = NO_PAUSE, key: str | None = None) -> None:
    DurableTasks(session).add_task(task, delay=after or None, key=key)


def address_hash(email: str) -> bytes:
    return hashlib.sha256(email.casefold().encode()).digest()


async def expire(db: Database) -> None:
    """Delete links that are no longer valid, and the counts of windows that have ended."""
    async with db.connection() as connection:
        await connection.execute(EXPIRE, WINDOW)
