"""Ended sessions and users, kept for as long as one of their access tokens could live, for gateways to read.

A row is written in the transaction, and for sessions in the statement, that ends a session or a user. `xact` is that
transaction's id. Transactions commit in another order than they begin, so a reader continues at the oldest transaction
that was still open.
"""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.models import LoginSession, Revocation
from shared.contracts.internal_api import MAX_PAGE, Revocations
from shared.db.engine import Database

MARGIN_S = 60
"""Rows outlive access tokens by this, as clocks differ."""
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


async def end_sessions(session: AsyncSession, *which: sa.ColumnElement[bool]) -> None:
    """Delete these sessions; their access tokens no longer count."""
    ended = sa.delete(LoginSession).where(*which).returning(LoginSession.user_id, LoginSession.id).cte("ended")
    await _add(session, sa.select(ended.c.user_id, ended.c.id))


async def end_user(session: AsyncSession, user_id: UUID) -> None:
    """No access token of the user counts any more."""
    await _add(session, sa.select(sa.literal(user_id), sa.literal(user_id)))


async def _add(session: AsyncSession, ended: sa.Select[UUID, UUID]) -> None:
    add = insert(Revocation).from_select(["user_id", "ended_id"], ended)
    await session.execute(add.on_conflict_do_nothing())


async def read(db: Database, after: int, access_token_ttl_s: int) -> Revocations:
    """What has ended since that cursor, and the next cursor."""
    async with db.connection() as connection:
        [snapshot] = await connection.fetch(CURSOR)
        since = after if after <= snapshot["next_id"] else 0  # a database that was restored counts from further back
        rows = await connection.fetch(READ, since, access_token_ttl_s + MARGIN_S, MAX_PAGE)
    return Revocations(
        cursor=rows[-1]["xact"] if len(rows) == MAX_PAGE else snapshot["oldest_open"],
        sessions=tuple(row["ended_id"] for row in rows if row["ended_id"] != row["user_id"]),
        users=tuple(row["user_id"] for row in rows if row["ended_id"] == row["user_id"]),
    )


async def expire(db: Database, access_token_ttl_s: int) -> None:
    """Delete what no access token can outlive."""
    async with db.connection() as connection:
        await connection.execute(EXPIRE, access_token_ttl_s + MARGIN_S)
