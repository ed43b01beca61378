"""The ledger as operators read it: pages of jobs, groups of failures, and the audit of one job."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.worker.ledger.admin.schemas import JOB_NAME
from services.worker.models import JobAudit, JobRow
from shared.errors import InvalidInput
from shared.http.tokens import b64url, b64url_decode

MAX_GROUPS = 500
UNFINISHED = ("dead", "retrying")
LISTED = (
    JobRow.job,
    JobRow.event_id,
    JobRow.user_id,
    JobRow.event_type,
    JobRow.state,
    JobRow.attempts,
    JobRow.next_attempt_at,
    JobRow.last_error,
    JobRow.error_group,
    JobRow.created_at,
    JobRow.updated_at,
)
GROUPS = sa.text("""
    SELECT job, state, error_group, count(*) AS count, min(created_at) AS first_seen, max(updated_at) AS last_seen,
        (array_agg(event_id ORDER BY updated_at DESC, event_id))[1] AS example_event_id,
        (array_agg(last_error ORDER BY updated_at DESC, event_id))[1] AS example_error
    FROM jobs WHERE state IN ('retrying', 'dead', 'discarded')
    GROUP BY job, state, error_group ORDER BY count(*) DESC, job, state, error_group LIMIT :limit
""")
Rows = Sequence[sa.Row[*tuple[Any, ...]]]
Key = tuple[UUID, str]
"""The position of a job in the list: the event's id, then the job's name."""


async def page(
    session: AsyncSession, state: str | None, job: str | None, error_group: str | None, after: Key | None, limit: int
) -> Rows:
    """Return the newest events first, one more than `limit`."""
    query = sa.select(*LISTED).where(JobRow.state.in_([state] if state else UNFINISHED))
    if job:
        query = query.where(JobRow.job == job)
    if error_group:
        query = query.where(JobRow.error_group == error_group)
    if after:
        event_id, name = after
        query = query.where(
            (JobRow.event_id < event_id) | ((JobRow.event_id == event_id) & (JobRow.job > name)),
        )
    found = await session.execute(query.order_by(JobRow.event_id.desc(), JobRow.job).limit(limit + 1))
    return found.all()


async def groups(session: AsyncSession) -> Rows:
    """Return the largest first."""
    return (await session.execute(GROUPS, {"limit": MAX_GROUPS})).all()


async def one(session: AsyncSession, job: str, event_id: UUID) -> JobRow | None:
    return await session.get(JobRow, (job, event_id))


async def audit(session: AsyncSession, job: str, event_id: UUID) -> Sequence[JobAudit]:
    """Return the oldest first."""
    query = sa.select(JobAudit).where(JobAudit.job == job, JobAudit.event_id == event_id).order_by(JobAudit.id)
    return (await session.scalars(query)).all()


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
