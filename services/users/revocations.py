"""Ended sessions, deleted API keys and deleted users, kept for gateways until none of them can remember a credential
of theirs.

A row is written in the transaction, and for sessions and keys in the statement, that ends one. `xact` is the id
of that transaction. Transactions commit in another order than they begin, so a reader continues at the oldest
transaction that was still open.
"""

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.models import ApiKey, LoginSession, Revocation
from shared.contracts.internal_api import MAX_PAGE, Revocations
from shared.db.engine import Database

MARGIN_S = 60
"""Rows outlive access tokens by this time, because clocks differ."""
EXPIRY_EVERY_S = 60

READ = """
    SELECT user_id, ended_id, xact FROM revocations
    WHERE xact >= $1 AND ended_at > now() - make_interval(secs => $2)
    ORDER BY xact LIMIT $3
"""
CURSOR = """
    SELECT pg_snapshot_xmin(seen)::text::bigint AS oldest_open, pg_snapshot_xmax(seen)::text::bigint AS next_id
    FROM pg_current_snapshot() AS seen
"""
EXPIRE = "DELETE FROM revocations WHERE ended_at < now() - make_interval(secs => $1)"


async def end_sessions(session: AsyncSession, *which: sa.ColumnElement[bool]) -> int:
    """Delete these sessions and revoke their access tokens; return how many there were."""
    return await _end(session, LoginSession, which)


async def end_api_keys(session: AsyncSession, *which: sa.ColumnElement[bool]) -> int:
    """Do the same with API keys."""
    return await _end(session, ApiKey, which)


async def end_user(session: AsyncSession, user_id: UUID) -> None:
    """Revoke all access tokens of the user."""
    await _add(session, sa.select(sa.literal(user_id), sa.literal(user_id)))


async def _end(
    session: AsyncSession, kind: type[LoginSession] | type[ApiKey], which: Iterable[sa.ColumnElement[bool]]
) -> int:
    ended = sa.delete(kind).where(*which).returning(kind.user_id, kind.id).cte("ended")
    return await _add(session, sa.select(ended.c.user_id, ended.c.id))


async def _add(session: AsyncSession, ended: sa.Select[UUID, UUID]) -> int:
    add = insert(Revocation).from_select(["user_id", "ended_id"], ended).on_conflict_do_nothing()
    return len((await session.scalars(add.returning(Revocation.ended_id))).all())


async def read(db: Database, after: int, access_token_ttl_s: int) -> Revocations:
    """Return what has ended since that cursor, and the next cursor. Deleted keys are among the sessions."""
    async with db.connection() as connection:
        [snapshot] = await connection.fetch(CURSOR)
        since = after if after <= snapshot["next_id"] else 0  # a restored database counts from an earlier number
        rows = await connection.fetch(READ, since, access_token_ttl_s + MARGIN_S, MAX_PAGE)
    return Revocations(
        cursor=rows[-1]["xact"] if len(rows) == MAX_PAGE else snapshot["oldest_open"],
        sessions=tuple(row["ended_id"] for row in rows if row["ended_id"] != row["user_id"]),
        users=tuple(row["user_id"] for row in rows if row["ended_id"] == row["user_id"]),
    )


async def expire(db: Database, access_token_ttl_s: int) -> None:
    """Delete the rows whose access tokens have all expired."""
    async with db.connection() as connection:
        await connection.execute(EXPIRE, access_token_ttl_s + MARGIN_S)
