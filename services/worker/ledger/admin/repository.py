"""The ledger as operators read it: one job, its attempts and changes, and groups of failures."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.worker.ledger.admin.schemas import JOB_NAME
from services.worker.ledger.admin.search import COLUMNS, Key
from shared.db.engine import Connection
from shared.errors import InvalidInput
from shared.http.tokens import b64url, b64url_decode

MAX_GROUPS = 500
GROUPS = sa.text("""
    SELECT job, state, error_group, count(*) AS count, min(created_at) AS first_seen, max(updated_at) AS last_seen,
        (array_agg(event_id ORDER BY updated_at DESC, event_id))[1] AS example_event_id,
        (array_agg(last_error ORDER BY updated_at DESC, event_id))[1] AS example_error
    FROM (
        SELECT * FROM jobs WHERE state IN ('retrying', 'dead') UNION ALL SELECT * FROM jobs WHERE state = 'discarded'
    ) AS failed
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
