"""The ledger as operators read and change it: one job, groups of failures, replaying and discarding many.

A job changes its state together with the audit row that names the operator. Changes are made in batches, each in its
own transaction. A batch skips rows that another has locked: each job is changed once, however many operators do the
same at the same time.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.worker.ledger.admin.schemas import JOB_NAME, Discard, Discarded, Replay, Replayed, Selection
from services.worker.ledger.admin.search import COLUMNS, Key
from shared.db.engine import Connection, Database
from shared.errors import InvalidInput
from shared.http.tokens import b64url, b64url_decode
from shared.observability.logs import get_logger

log = get_logger(__name__)

MAX_GROUPS = 500
GROUPS = sa.text("""
    SELECT job, state, error_group, count(*) AS count, min(created_at) AS first_seen, max(updated_at) AS last_seen,
        (array_agg(event_id ORDER BY updated_at DESC, event_id))[1] AS example_event_id,
        (array_agg(last_error ORDER BY updated_at DESC, event_id))[1] AS example_error
    FROM jobs WHERE state IN ('retrying', 'dead', 'discarded')
    GROUP BY job, state, error_group ORDER BY count(*) DESC, job, state, error_group LIMIT :limit
""")
Rows = Sequence[sa.Row[*tuple[Any, ...]]]
READ = f"""
    SELECT {COLUMNS}, payload, headers, next_attempt_at <= now() AS due FROM jobs WHERE job = $1 AND event_id = $2
"""  # noqa: S608  constants
READ_ATTEMPTS = """
    SELECT row_number() OVER (ORDER BY log.started_at) AS number, log.started_at, duration_ms, worker, error, trace_id,
        CASE WHEN outcome <> 'running' THEN outcome
            WHEN leased_until > now() AND log.started_at = max(log.started_at) OVER () THEN 'running'
            ELSE 'interrupted' END AS outcome
    FROM job_attempts log JOIN jobs USING (job, event_id) WHERE job = $1 AND event_id = $2 ORDER BY log.started_at
"""
READ_AUDIT = "SELECT * FROM job_audit WHERE job = $1 AND event_id = $2 ORDER BY id"

BATCH = 500
MEANT = """
    state = $1 AND updated_at <= $2 AND ($3::text[] IS NULL OR job = ANY($3))
    AND ($4::text IS NULL OR error_group = $4) AND ($5::uuid[] IS NULL OR event_id = ANY($5))
    AND payload IS NOT NULL
"""
"""Without a payload there is nothing to run: its user has been deleted."""
COUNT = f"SELECT count(*) FROM jobs WHERE {MEANT}"  # noqa: S608  constants
PICKED = f"""
    picked AS (
        SELECT job, event_id, user_id, state, attempts, last_error FROM jobs WHERE {MEANT}
        LIMIT $6 FOR UPDATE SKIP LOCKED
    )
"""  # noqa: S608  constants
AUDIT = """
    INSERT INTO job_audit
        (job, event_id, user_id, previous_state, previous_attempts, previous_error, action, actor, reason)
"""
REPLAY = f"""
    WITH {PICKED}, replayed AS (
        UPDATE jobs SET state = 'retrying', attempts = 0, updated_at = now(),
            next_attempt_at = now() + ($8::float8 + coalesce(($10 + place) / $9::float8, 0)) * interval '1 second'
        FROM (SELECT job, event_id, row_number() OVER () - 1 AS place FROM picked) AS placed
        WHERE (jobs.job, jobs.event_id) = (placed.job, placed.event_id)
    )
    {AUDIT} SELECT picked.*, 'replay', $7, NULL FROM picked RETURNING id
"""  # noqa: S608  constants
DISCARD = f"""
    WITH {PICKED}, discarded AS (
        UPDATE jobs SET state = 'discarded', updated_at = now() FROM picked
        WHERE (jobs.job, jobs.event_id) = (picked.job, picked.event_id)
    )
    {AUDIT} SELECT picked.*, 'discard', $7, $8 FROM picked RETURNING id
"""  # noqa: S608  constants
Jobs = Sequence[str] | None
"""By name; None for any, including those that no worker runs."""
Batch = Callable[[Connection, int, int], Awaitable[Sequence[asyncpg.Record]]]
"""Changes at most this many jobs, after this many have been changed; returns one row for each."""


async def groups(session: AsyncSession) -> Rows:
    """Return the largest first."""
    return (await session.execute(GROUPS, {"limit": MAX_GROUPS})).all()


async def one(connection: Connection, job: str, event_id: UUID) -> asyncpg.Record | None:
    return await connection.fetchrow(READ, job, event_id)


async def attempts(connection: Connection, job: str, event_id: UUID) -> list[asyncpg.Record]:
    """Return the oldest first."""
    return await connection.fetch(READ_ATTEMPTS, job, event_id)


async def audit(connection: Connection, job: str, event_id: UUID) -> list[asyncpg.Record]:
    """Return the oldest first."""
    return await connection.fetch(READ_AUDIT, job, event_id)


def encode_cursor(last: Key) -> str:
    event_id, job = last
    return b64url(event_id.bytes + job.encode())


def decode_cursor(cursor: str | None) -> Key | None:
    """Raises `InvalidInput` for anything that `encode_cursor` does not produce."""
    if cursor is None:
        return None
    try:
        decoded = b64url_decode(cursor)
        key = UUID(bytes=decoded[:16]), decoded[16:].decode()
    except ValueError:
        key = None
    if key is None or not re.fullmatch(JOB_NAME, key[1]) or encode_cursor(key) != cursor:
        raise InvalidInput.of("cursor", "is not a cursor of this list")
    return key


async def replay(db: Database, order: Replay, actor: UUID, known: Iterable[str]) -> Replayed:
    """Retry the jobs, with a full set of attempts, at the requested rate. The others than `known` cannot run."""
    jobs = [job for job in known if order.job in (None, job)]
    matched, as_of = await _count(db, order, jobs)

    async def batch(connection: Connection, size: int, done: int) -> Sequence[asyncpg.Record]:
        meant = _arguments(order, as_of, jobs)
        return await connection.fetch(REPLAY, *meant, size, actor, order.delay_s, order.rate_per_s, done)

    replayed = 0 if order.dry_run else await _in_batches(db, order.limit, batch)
    log.info("jobs replayed", actor=str(actor), matched=matched, replayed=replayed, dry_run=order.dry_run)
    return Replayed(matched=matched, as_of=as_of, replayed=replayed)


async def discard(db: Database, order: Discard, actor: UUID) -> Discarded:
    """Close the jobs without retrying them, and keep them."""
    jobs = None if order.job is None else [order.job]
    matched, as_of = await _count(db, order, jobs)

    async def batch(connection: Connection, size: int, _: int) -> Sequence[asyncpg.Record]:
        return await connection.fetch(DISCARD, *_arguments(order, as_of, jobs), size, actor, order.reason)

    discarded = 0 if order.dry_run else await _in_batches(db, order.limit, batch)
    log.info("jobs discarded", actor=str(actor), matched=matched, discarded=discarded, dry_run=order.dry_run)
    return Discarded(matched=matched, as_of=as_of, discarded=discarded)


async def _count(db: Database, selection: Selection, jobs: Jobs) -> tuple[int, datetime]:
    """Return how many match now, and the current time, since which they must not have changed.

    This keeps a replayed job that dies again at once from being replayed twice.
    """
    async with db.connection() as connection:
        as_of = selection.as_of or await connection.fetchval("SELECT now()")
        return await connection.fetchval(COUNT, *_arguments(selection, as_of, jobs)), as_of


def _arguments(selection: Selection, as_of: datetime, jobs: Jobs) -> tuple[object, ...]:
    return selection.state, as_of, jobs, selection.error_group, selection.event_ids


async def _in_batches(db: Database, limit: int, change: Batch) -> int:
    done = 0
    while done < limit:
        size = min(BATCH, limit - done)
        async with db.connection() as connection:
            changed = len(await change(connection, size, done))
        done += changed
        if changed < size:
            break
    return done
