"""What operators do with one job of the ledger, with all jobs of one name, and with a schedule.

A change is made in one transaction with the audit row that names the operator. An attempt that is in flight has locked
its row or has leased it: such a job is neither retried nor cancelled.

DashboardError
├── NotFound
│   ├── JobNotFound        404  no such event of this job, or no such job
│   └── ScheduleNotFound   404
└── Conflict
    ├── JobRunning         409  an attempt is in flight
    └── JobFinished        409  there is nothing to run, or nothing to cancel
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from services.worker import metrics
from services.worker.ledger.job import Job
from services.worker.ledger.schedules import add_tick
from services.worker.ledger.timetable import Timetable
from shared.contracts.tasks import Tick
from shared.db.engine import Connection, Database
from shared.errors import Conflict, NotFound
from shared.ids import new_id
from shared.observability.logs import get_logger

log = get_logger(__name__)

Jobs = Mapping[str, Job]
"""The jobs of this worker, by name."""

LOCK = """
    SELECT state, attempts, last_error, user_id, lane, payload IS NOT NULL AS runnable, leased_until > now() AS leased
    FROM jobs WHERE job = $1 AND event_id = $2 FOR UPDATE SKIP LOCKED
"""
EXISTS = "SELECT true FROM jobs WHERE job = $1 AND event_id = $2"
# A job that has been given up gets a full set of attempts.
RETRY = """
    UPDATE jobs SET next_attempt_at = now(), updated_at = now(),
        attempts = CASE WHEN state IN ('scheduled', 'retrying') THEN attempts ELSE 0 END,
        state = CASE WHEN state = 'scheduled' THEN state ELSE 'retrying' END
    WHERE job = $1 AND event_id = $2
"""
CANCEL = """
    UPDATE jobs SET state = 'cancelled', next_attempt_at = NULL, updated_at = now() WHERE job = $1 AND event_id = $2
"""
AUDIT = """
    INSERT INTO job_audit
        (job, event_id, user_id, previous_state, previous_attempts, previous_error, action, actor)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
PAUSE = "INSERT INTO paused_jobs (job, actor) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
RESUME = "DELETE FROM paused_jobs WHERE job = $1 RETURNING true"
LIST_PAUSED = "SELECT job, actor, paused_at FROM paused_jobs WHERE job = ANY($1) ORDER BY job"
LIST_SCHEDULES = """
    SELECT name, cron, timezone, paused, last_run, next_run FROM schedules WHERE name = ANY($1) ORDER BY name
"""
LOCK_SCHEDULE = "SELECT *, now() AS at FROM schedules WHERE name = $1 FOR UPDATE"
SET_LAST_RUN = "UPDATE schedules SET last_run = $2 WHERE name = $1"
SET_PAUSED = "UPDATE schedules SET paused = $2, next_run = $3 WHERE name = $1"


class JobNotFound(NotFound):
    code, title = "job_not_found", "No such job"


class ScheduleNotFound(NotFound):
    code, title = "schedule_not_found", "No such schedule"


class JobRunning(Conflict):
    code, title = "job_running", "This job is running"


class JobFinished(Conflict):
    code, title = "job_finished", "This job has nothing left to run"


async def retry(db: Database, jobs: Jobs, job: str, event_id: UUID, actor: UUID) -> None:
    """Make a job due now. Raises `JobNotFound`, `JobRunning` or `JobFinished`."""
    async with db.connection() as connection, connection.transaction():
        row = await _lock(connection, job, event_id)
        if job not in jobs:
            raise JobFinished("no worker has a job of this name")
        if not row["runnable"]:
            raise JobFinished(f"it is {row['state']}, and its message is not kept any more")
        await connection.execute(RETRY, job, event_id)
        await _audit_job(connection, job, event_id, row, "retry", actor)


async def cancel(db: Database, job: str, event_id: UUID, actor: UUID) -> None:
    """Cancel a job that has not run, or is to be retried. Raises `JobNotFound`, `JobRunning` or `JobFinished`."""
    async with db.connection() as connection, connection.transaction():
        row = await _lock(connection, job, event_id)
        if row["state"] not in ("scheduled", "retrying"):
            raise JobFinished(f"it is {row['state']}")
        if row["lane"] is not None:
            raise JobFinished("a delivery is cancelled by disabling its webhook")
        await connection.execute(CANCEL, job, event_id)
        await _audit_job(connection, job, event_id, row, "cancel", actor)
    metrics.JOBS.labels(job, "cancelled").inc()


async def _lock(connection: Connection, job: str, event_id: UUID) -> asyncpg.Record:
    row = await connection.fetchrow(LOCK, job, event_id)
    if row is None and not await connection.fetchval(EXISTS, job, event_id):
        raise JobNotFound
    if row is None or row["leased"]:
        raise JobRunning("an attempt is in flight: wait until it ends")
    return row


async def _audit_job(
    connection: Connection, job: str, event_id: UUID, row: asyncpg.Record, action: str, actor: UUID
) -> None:
    before = (row["user_id"], row["state"], row["attempts"], row["last_error"])
    await connection.execute(AUDIT, job, event_id, *before, action, actor)
    log.info("job changed", job=job, event_id=str(event_id), action=action, actor=str(actor))


async def pause(db: Database, jobs: Jobs, job: str, actor: UUID) -> None:
    """Let no attempt at a job start until it is resumed. Raises `JobNotFound`."""
    await _switch(db, jobs, job, PAUSE, (job, actor), "pause", actor)


async def resume(db: Database, jobs: Jobs, job: str, actor: UUID) -> None:
    """Raises `JobNotFound`."""
    await _switch(db, jobs, job, RESUME, (job,), "resume", actor)


async def paused(db: Database, jobs: Jobs) -> list[asyncpg.Record]:
    """Return the paused jobs of this worker, by name."""
    async with db.connection() as connection:
        return await connection.fetch(LIST_PAUSED, list(jobs))


async def _switch(
    db: Database, jobs: Jobs, job: str, statement: str, arguments: Sequence[object], action: str, actor: UUID
) -> None:
    if job not in jobs:
        raise JobNotFound
    async with db.connection() as connection, connection.transaction():
        if await connection.fetchval(statement, *arguments):
            await _audit(connection, job, action, actor)


async def schedules(db: Database, jobs: Jobs) -> list[asyncpg.Record]:
    """Return the schedules of this worker's jobs, by name."""
    async with db.connection() as connection:
        return await connection.fetch(LIST_SCHEDULES, _scheduled(jobs))


async def run_schedule(db: Database, jobs: Jobs, name: str, actor: UUID) -> UUID:
    """Run a schedule's job now, also while the schedule is paused. Returns the event. Raises `ScheduleNotFound`."""
    async with db.connection() as connection, connection.transaction():
        row = await _lock_schedule(connection, jobs, name)
        event_id = new_id()
        await add_tick(connection, event_id, Tick(schedule=name, at=row["at"], last_run=row["last_run"]))
        await connection.execute(SET_LAST_RUN, name, row["at"])
        await _audit(connection, name, "run", actor, event_id)
    return event_id


async def pause_schedule(db: Database, jobs: Jobs, name: str, actor: UUID) -> None:
    """Skip the ticks of a schedule until it is resumed. Raises `ScheduleNotFound`."""
    async with db.connection() as connection, connection.transaction():
        if not (await _lock_schedule(connection, jobs, name))["paused"]:
            await connection.execute(SET_PAUSED, name, True, None)
            await _audit(connection, name, "pause", actor)


async def resume_schedule(db: Database, jobs: Jobs, name: str, actor: UUID) -> None:
    """Raises `ScheduleNotFound`."""
    async with db.connection() as connection, connection.transaction():
        row = await _lock_schedule(connection, jobs, name)
        if row["paused"]:
            next_run = Timetable(row["cron"], row["timezone"]).next_after(row["at"])
            await connection.execute(SET_PAUSED, name, False, next_run)
            await _audit(connection, name, "resume", actor)


async def _lock_schedule(connection: Connection, jobs: Jobs, name: str) -> asyncpg.Record:
    row = await connection.fetchrow(LOCK_SCHEDULE, name) if name in _scheduled(jobs) else None
    if row is None:
        raise ScheduleNotFound
    return row


def _scheduled(jobs: Jobs) -> list[str]:
    return [name for name, job in jobs.items() if job.schedule]


async def _audit(connection: Connection, job: str, action: str, actor: UUID, event_id: UUID | None = None) -> None:
    await connection.execute(AUDIT, job, event_id, None, None, None, None, action, actor)
    log.info("operator action", job=job, action=action, actor=str(actor))
