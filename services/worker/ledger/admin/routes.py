"""Jobs and schedules for operators: support may read, administrators may change them."""

import json
from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Depends, Request

from services.worker.ledger import heartbeats, history
from services.worker.ledger.admin import changes, controls, repository, search
from services.worker.ledger.admin.controls import JobFinished, JobNotFound, JobRunning, ScheduleNotFound
from services.worker.ledger.admin.repository import decode_cursor, encode_cursor
from services.worker.ledger.admin.schemas import (
    Attempt,
    AuditEntry,
    Cancel,
    Cancelled,
    Discard,
    Discarded,
    FromQuery,
    GroupQuery,
    JobDetail,
    JobGroup,
    JobGroups,
    JobHistories,
    JobHistory,
    JobName,
    JobQuery,
    JobSummary,
    PausedJob,
    PausedJobs,
    Replay,
    Replayed,
    Retried,
    Retry,
    Run,
    ScheduleSummary,
    SearchQuery,
    StateQuery,
    ToQuery,
    TypeQuery,
    UserQuery,
    WorkerProcess,
    WorkerProcesses,
)
from services.worker.ledger.job import Job
from services.worker.ledger.ledger import Alarm, Ledger
from shared.db.dependency import DatabaseDep
from shared.db.engine import Connection
from shared.http.identity import AdminDep, OperatorDep
from shared.http.openapi import described
from shared.http.pagination import Cursor, Limit, Page

router = APIRouter(prefix="/v1/admin", tags=["operators"])
MAY_RUN = ("waiting", "retrying")


def _jobs(request: Request) -> Mapping[str, Job]:
    jobs: Mapping[str, Job] = request.app.state.jobs
    return jobs


def _alarm(request: Request) -> Alarm:
    ledger: Ledger = request.app.state.ledger
    return ledger.alarm


JobsDep = Annotated[Mapping[str, Job], Depends(_jobs)]
AlarmDep = Annotated[Alarm, Depends(_alarm)]


@router.get("/jobs", **described("list_jobs", "List jobs"))
async def list_jobs(
    _: OperatorDep,
    db: DatabaseDep,
    state: StateQuery = None,
    job: JobQuery = None,
    error_group: GroupQuery = None,
    user_id: UserQuery = None,
    event_type: TypeQuery = None,
    since: FromQuery = None,
    until: ToQuery = None,
    q: SearchQuery = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[JobSummary]:
    """List jobs, newest events first; in a search by time (from, to), those that arrived last."""
    after = decode_cursor(cursor)
    asked = search.Filter(
        state=state,
        job=job,
        error_group=error_group,
        user_id=user_id,
        event_type=event_type,
        since=since,
        until=until,
        text=q,
    )
    async with db.connection() as connection, connection.transaction():
        rows = await search.page(connection, asked, after, limit)
        items = await _summaries(connection, rows[:limit])
    more = len(rows) > limit
    return Page(items=items, next_cursor=encode_cursor((items[-1].event_id, items[-1].job)) if more else None)


@router.get("/jobs/groups", **described("list_job_groups", "Count failed jobs by cause"))
async def list_groups(_: OperatorDep, db: DatabaseDep) -> JobGroups:
    """Count jobs that are not done, by job, state and cause: the largest groups first."""
    async with db.begin() as session:
        return JobGroups(items=[JobGroup.model_validate(row) for row in await repository.groups(session)])


@router.get("/jobs/history", **described("read_job_history", "Read the last hour of the jobs"))
async def read_history(_: OperatorDep, db: DatabaseDep, job: JobQuery = None) -> JobHistories:
    """Return the last hour of each job, by minute: attempts by outcome, and their median duration. Minutes and jobs
    without attempts are left out."""
    until, hours = await history.read(db, job)
    return JobHistories(until=until, items=[JobHistory.model_validate(hour) for hour in hours])


@router.get("/workers", **described("list_workers", "List the worker processes"))
async def list_workers(_: OperatorDep, db: DatabaseDep) -> WorkerProcesses:
    """List the worker processes, by host. A killed one stays in the list for ten minutes."""
    return WorkerProcesses(items=[WorkerProcess(**each) for each in await heartbeats.read(db)])


@router.get("/jobs/paused", **described("list_paused_jobs", "List the paused jobs"))
async def list_paused(_: OperatorDep, db: DatabaseDep, jobs: JobsDep) -> PausedJobs:
    """List the paused jobs, by name, each with who paused it and when."""
    return PausedJobs(items=[PausedJob(**row) for row in await controls.paused(db, jobs)])


@router.get("/jobs/{job}/{event_id}", **described("read_job", "Read a job", JobNotFound))
async def read_job(job: JobName, event_id: UUID, caller: OperatorDep, db: DatabaseDep) -> JobDetail:
    """Return one job, its attempts, and the actions of operators; for administrators with the message, which is
    personal data."""
    async with db.connection() as connection, connection.transaction():
        row = await repository.one(connection, job, event_id)
        if row is None:
            raise JobNotFound
        [summary] = await _summaries(connection, [row])
        attempts = [Attempt(**each) for each in await repository.attempts(connection, job, event_id)]
        audit = [AuditEntry(**each) for each in await repository.audit(connection, job, event_id)]
    before = sum(each.previous_attempts or 0 for each in audit if _starts_over(each))
    shown = caller.is_admin and row["payload"] is not None
    return JobDetail(
        **summary.model_dump(),
        total_attempts=row["attempts"] + before,
        payload=row["payload"].decode(errors="backslashreplace") if shown else None,
        headers=json.loads(row["headers"]) if shown and row["headers"] else None,
        attempt_log=attempts,
        audit=audit,
    )


def _starts_over(entry: AuditEntry) -> bool:
    """Return whether the action gave the job a full set of attempts."""
    return entry.action == "replay" or (
        entry.action == "retry" and entry.previous_state in ("dead", "discarded", "cancelled")
    )


async def _summaries(connection: Connection, rows: list[asyncpg.Record]) -> list[JobSummary]:
    items = [JobSummary.model_validate(dict(row)) for row in rows]
    locked = await search.find_locked(
        connection, [(each.job, each.event_id) for each in items if each.state in MAY_RUN]
    )
    return [
        each.model_copy(update={"state": "running"}) if (each.job, each.event_id) in locked else each for each in items
    ]


@router.post("/jobs/replay", **described("replay_jobs", "Replay jobs"))
async def replay(order: Replay, caller: AdminDep, db: DatabaseDep, jobs: JobsDep) -> Replayed:
    """Retry jobs, with a full set of attempts. Replaying twice changes nothing more."""
    return await changes.replay(db, order, caller.user_id, jobs)


@router.post("/jobs/discard", **described("discard_jobs", "Discard jobs"))
async def discard(order: Discard, caller: AdminDep, db: DatabaseDep) -> Discarded:
    """Close jobs without retrying them; they are kept, and can be replayed as `discarded`."""
    return await changes.discard(db, order, caller.user_id)


@router.post("/jobs/cancel", **described("cancel_jobs", "Cancel jobs"))
async def cancel_jobs(order: Cancel, caller: AdminDep, db: DatabaseDep) -> Cancelled:
    """Cancel jobs that have not run yet, or would be retried. Attempts in flight and deliveries to webhooks stay."""
    return await changes.cancel(db, order, caller.user_id)


@router.post("/jobs/retry", **described("retry_jobs", "Run jobs now"))
async def retry_jobs(order: Retry, caller: AdminDep, db: DatabaseDep, jobs: JobsDep, alarm: AlarmDep) -> Retried:
    """Run jobs now instead of later. Those that were given up get a full set of attempts. Attempts in flight stay."""
    retried = await changes.retry(db, order, caller.user_id, jobs)
    alarm.set(0)
    return retried


@router.post(
    "/jobs/{job}/{event_id}/retry",
    status_code=204,
    **described("retry_job", "Run a job now", JobNotFound, JobRunning, JobFinished),
)
async def retry_job(
    job: JobName, event_id: UUID, caller: AdminDep, db: DatabaseDep, jobs: JobsDep, alarm: AlarmDep
) -> None:
    """Run a job now instead of later. One that was given up gets a full set of attempts."""
    await controls.retry(db, jobs, job, event_id, caller.user_id)
    alarm.set(0)


@router.post(
    "/jobs/{job}/{event_id}/cancel",
    status_code=204,
    **described("cancel_job", "Cancel a job", JobNotFound, JobRunning, JobFinished),
)
async def cancel_job(job: JobName, event_id: UUID, caller: AdminDep, db: DatabaseDep) -> None:
    """Cancel a job that has not run yet, or would be retried. 409 while it is running."""
    await controls.cancel(db, job, event_id, caller.user_id)


@router.post("/jobs/{job}/pause", status_code=204, **described("pause_job", "Pause a job", JobNotFound))
async def pause_job(job: JobName, caller: AdminDep, db: DatabaseDep, jobs: JobsDep) -> None:
    """Let no attempt at this job start until it is resumed. Its messages are kept."""
    await controls.pause(db, jobs, job, caller.user_id)


@router.post("/jobs/{job}/resume", status_code=204, **described("resume_job", "Resume a job", JobNotFound))
async def resume_job(job: JobName, caller: AdminDep, db: DatabaseDep, jobs: JobsDep, alarm: AlarmDep) -> None:
    """Let a paused job run again."""
    await controls.resume(db, jobs, job, caller.user_id)
    alarm.set(0)


@router.get("/schedules", **described("list_schedules", "List the schedules"))
async def list_schedules(_: OperatorDep, db: DatabaseDep, jobs: JobsDep) -> Page[ScheduleSummary]:
    """List all schedules, by name."""
    return Page(items=[ScheduleSummary(**row) for row in await controls.schedules(db, jobs)])


@router.post(
    "/schedules/{name}/run", status_code=202, **described("run_schedule", "Run a schedule now", ScheduleNotFound)
)
async def run_schedule(name: JobName, caller: AdminDep, db: DatabaseDep, jobs: JobsDep, alarm: AlarmDep) -> Run:
    """Run the job of a schedule now, also while the schedule is paused."""
    event_id = await controls.run_schedule(db, jobs, name, caller.user_id)
    alarm.set(0)
    return Run(job=name, event_id=event_id)


@router.post(
    "/schedules/{name}/pause", status_code=204, **described("pause_schedule", "Pause a schedule", ScheduleNotFound)
)
async def pause_schedule(name: JobName, caller: AdminDep, db: DatabaseDep, jobs: JobsDep) -> None:
    """Skip the times of a schedule until it is resumed."""
    await controls.pause_schedule(db, jobs, name, caller.user_id)


@router.post(
    "/schedules/{name}/resume", status_code=204, **described("resume_schedule", "Resume a schedule", ScheduleNotFound)
)
async def resume_schedule(name: JobName, caller: AdminDep, db: DatabaseDep, jobs: JobsDep) -> None:
    """Let a paused schedule run again, from its next time."""
    await controls.resume_schedule(db, jobs, name, caller.user_id)
