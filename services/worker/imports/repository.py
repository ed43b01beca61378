"""Imports as their users read and change them, and their progress."""

import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.worker.imports.leases import file_key
from services.worker.imports.models import Import, ImportRowError
from services.worker.imports.records import Head
from services.worker.imports.storage import Storage
from services.worker.ledger import erasure
from services.worker.live_hints import Hints
from shared.clock import now
from shared.contracts import events
from shared.contracts.imports import LIVE_KEY, ImportHint, ImportProgress
from shared.db.engine import Database, clock
from shared.db.retention import sweep
from shared.errors import Conflict, NotFound
from shared.outbox import outbox

UPLOAD_EXPIRES = timedelta(hours=2)
"""An upload that has not ended by then never will."""
PAGE = 1000
UPLOADING, QUEUED, CANCELLED = "uploading", "queued", "cancelled"
WAITING = (QUEUED, "running")
ENDED = ("completed", "failed")
BATCH = 100
FIND = "SELECT user_id, id FROM imports WHERE expires_at <= now() ORDER BY expires_at LIMIT $1"
FORGET = "DELETE FROM imports WHERE user_id = $1 AND id = $2"
PAUSE_S = 0.5
"""The interval between two messages about one import."""


class ImportNotFound(NotFound):
    code, title = "import_not_found", "No such import"


class ImportEnded(Conflict):
    code, title = "import_ended", "The import has ended already"


class TooManyImports(Conflict):
    code, title = "too_many_imports", "Too many imports are pending"


async def begin(session: AsyncSession, user_id: UUID, import_id: UUID, limit: int) -> None:
    """Created before the file is stored, so that an unfinished file can be found and deleted. Raises
    `TooManyImports`; concurrent uploads are not counted."""
    mine = sa.select(sa.func.count()).where(Import.user_id == user_id, Import.state.in_(WAITING))
    if (await session.scalar(mine) or 0) >= limit:
        raise TooManyImports(f"at most {limit}: wait until one has ended, or cancel one")
    session.add(
        Import(user_id=user_id, id=import_id, state=UPLOADING, expires_at=await clock(session) + UPLOAD_EXPIRES)
    )


async def enqueue(session: AsyncSession, user_id: UUID, import_id: UUID, name: str | None, head: Head) -> Import:
    """Mark the file as stored: the event notifies the workers. Raises `ImportNotFound` if its user has been
    deleted."""
    start = head.end()
    if await erasure.is_erased(session, user_id):
        raise ImportNotFound
    row = await session.get(Import, (user_id, import_id), with_for_update=True)
    if row is None or row.state != UPLOADING:
        raise ImportNotFound
    row.state, row.filename, row.bytes, row.rows_total = QUEUED, name, head.bytes, head.rows
    row.next_offset, row.next_line, row.expires_at, row.lease_until = (
        start.offset,
        start.line,
        None,
        await clock(session),
    )
    await outbox.add(
        session, events.ImportRequested(user_id=user_id, import_id=import_id, requested_at=row.lease_until)
    )
    return row


async def get(session: AsyncSession, user_id: UUID, import_id: UUID, *, lock: bool = False) -> Import:
    """Raises `ImportNotFound`."""
    row = await session.get(Import, (user_id, import_id), with_for_update=lock or None)
    if row is None or row.state == UPLOADING:
        raise ImportNotFound
    return row


async def page(session: AsyncSession, user_id: UUID, before: UUID | None, limit: int) -> Sequence[Import]:
    """Return imports, newest first, one more than `limit`."""
    query = sa.select(Import).where(Import.user_id == user_id, Import.state != UPLOADING)
    if before:
        query = query.where(Import.id < before)
    return (await session.scalars(query.order_by(Import.id.desc()).limit(limit + 1))).all()


async def cancel(session: AsyncSession, user_id: UUID, import_id: UUID, keep_s: float) -> Import:
    """Cancel at once, unless a worker runs it: that one stops at a checkpoint. Raises `ImportEnded`,
    `ImportNotFound`."""
    row = await get(session, user_id, import_id, lock=True)
    if row.state in ENDED:
        raise ImportEnded(f"an import that is {row.state} cannot be cancelled")
    if row.state == CANCELLED:
        return row
    row.cancel_requested = True
    at = await clock(session)
    if row.lease_id is None or row.lease_until < at:
        row.state, row.lease_id, row.finished_at = CANCELLED, None, at
        row.expires_at = at + timedelta(seconds=keep_s)
        await outbox.add(session, completed(row))
    return row


def completed(row: Import) -> events.ImportCompleted:
    return events.ImportCompleted(
        user_id=row.user_id,
        import_id=row.id,
        state=row.state,
        rows_total=row.rows_total,
        rows_done=row.rows_done,
        rows_failed=row.rows_failed,
        completed_at=now(),
    )


async def first_errors(session: AsyncSession, user_id: UUID, import_id: UUID, limit: int) -> Sequence[ImportRowError]:
    """Return the first errors of an import, in the order of the file."""
    query = sa.select(ImportRowError).where(ImportRowError.user_id == user_id, ImportRowError.import_id == import_id)
    return (await session.scalars(query.order_by(ImportRowError.line, ImportRowError.field).limit(limit))).all()


async def errors(db: Database, user_id: UUID, import_id: UUID) -> AsyncIterator[Sequence[ImportRowError]]:
    """Yield errors page by page, in the order of the file; no connection is held in between."""
    place = sa.tuple_(ImportRowError.line, ImportRowError.field)
    query = sa.select(ImportRowError).where(ImportRowError.user_id == user_id, ImportRowError.import_id == import_id)
    query = query.order_by(ImportRowError.line, ImportRowError.field).limit(PAGE)
    after = (0, "")
    while True:
        async with db.begin() as session:
            rows = (await session.scalars(query.where(place > after))).all()
        yield rows
        if len(rows) < PAGE:
            return
        after = (rows[-1].line, rows[-1].field)


async def delete_expired(db: Database, storage: Storage, limit: int = BATCH) -> int:
    """Delete the oldest; return how many. The file is deleted first: as long as the row exists, it can be found."""
    async with db.connection() as connection:
        expired = await connection.fetch(FIND, limit)
    for row in expired:
        await storage.delete(file_key(row["id"]))
        async with db.connection() as connection:
            await connection.execute(FORGET, row["user_id"], row["id"])
    return len(expired)


async def delete_all_expired(db: Database, storage: Storage) -> None:
    """Delete batch by batch."""
    await sweep(db, "imports", partial(delete_expired, db, storage), BATCH)


def eta_s(state: str, total: int, done: int, failed: int, rows_per_s: float | None) -> int | None:
    """Return the remaining seconds; None if unknown."""
    if state != "running" or not rows_per_s:
        return None
    return max(0, round((total - done - failed) / rows_per_s))


def progress_of(row: asyncpg.Record) -> ImportProgress:
    total, done, failed, rate = row["rows_total"], row["rows_done"], row["rows_failed"], row["rows_per_s"]
    return ImportProgress(
        id=row["id"],
        state=row["state"],
        rows_total=total,
        rows_done=done,
        rows_failed=failed,
        rows_per_s=None if rate is None else round(rate, 1),
        eta_s=eta_s(row["state"], total, done, failed, rate),
    )


class ProgressPublisher:
    """Publish the progress of an import while it runs: at once, and then at most every `PAUSE_S`."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._told_at = -PAUSE_S

    async def tell(self, row: asyncpg.Record) -> None:
        """Publish the end of an import, in any case."""
        if row["state"] == "running" and time.monotonic() - self._told_at < PAUSE_S:
            return
        self._told_at = time.monotonic()
        await self._hints.send(LIVE_KEY, ImportHint(row["user_id"], [], progress_of(row)))
