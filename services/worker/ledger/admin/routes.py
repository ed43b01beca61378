"""Failed jobs for operators: support may read, administrators may replay and discard."""

from uuid import UUID

from fastapi import APIRouter

from services.worker.ledger.admin import repository
from services.worker.ledger.admin.repository import decode_cursor, encode_cursor
from services.worker.ledger.admin.schemas import (
    AuditEntry,
    Discard,
    Discarded,
    GroupQuery,
    JobDetail,
    JobGroup,
    JobGroups,
    JobName,
    JobQuery,
    JobSummary,
    Replay,
    Replayed,
    StateQuery,
)
from shared.db.engine import DatabaseDep
from shared.errors import NotFound
from shared.http.identity import AdminDep, OperatorDep
from shared.http.pagination import Cursor, Limit, Page

router = APIRouter(prefix="/v1/admin/jobs", tags=["operators"])


class JobNotFound(NotFound):
    code, title = "job_not_found", "No such job"


@router.get("")
async def list_jobs(
    _: OperatorDep,
    db: DatabaseDep,
    state: StateQuery = None,
    job: JobQuery = None,
    error_group: GroupQuery = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[JobSummary]:
    """List jobs that are not done, newest events first."""
    after = decode_cursor(cursor)
    async with db.begin() as session:
        rows = await repository.page(session, state, job, error_group, after, limit)
    items = [JobSummary.model_validate(row) for row in rows[:limit]]
    more = len(rows) > limit
    return Page(items=items, next_cursor=encode_cursor((items[-1].event_id, items[-1].job)) if more else None)


@router.get("/groups")
async def list_groups(_: OperatorDep, db: DatabaseDep) -> JobGroups:
    """Count jobs that are not done, by job, state and cause: the largest groups first."""
    async with db.begin() as session:
        return JobGroups(items=[JobGroup.model_validate(row) for row in await repository.groups(session)])


@router.get("/{job}/{event_id}")
async def read_job(job: JobName, event_id: UUID, caller: OperatorDep, db: DatabaseDep) -> JobDetail:
    """Return one job, and the actions of operators; for administrators with the message, which is personal data."""
    async with db.begin() as session:
        row = await repository.one(session, job, event_id)
        if row is None:
            raise JobNotFound
        audit = [AuditEntry.model_validate(entry) for entry in await repository.audit(session, job, event_id)]
    return JobDetail(
        **JobSummary.model_validate(row).model_dump(),
        total_attempts=row.attempts + sum(entry.previous_attempts for entry in audit if entry.action == "replay"),
        payload=row.payload.decode(errors="backslashreplace") if row.payload and caller.is_admin else None,
        headers=row.headers if caller.is_admin else None,
        audit=audit,
    )


@router.post("/replay")
async def replay(order: Replay, caller: AdminDep, db: DatabaseDep) -> Replayed:
    """Retry jobs, with a full set of attempts. Replaying twice changes nothing more."""
    return await repository.replay(db, order, caller.user_id)


@router.post("/discard")
async def discard(order: Discard, caller: AdminDep, db: DatabaseDep) -> Discarded:
    """Close jobs without retrying them; they are kept, and can be replayed as `discarded`."""
    return await repository.discard(db, order, caller.user_id)
