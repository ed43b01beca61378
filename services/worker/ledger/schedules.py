"""Schedules: each tick of a job's schedule becomes a row of the ledger, once, however many workers there are.

A tick is late if no worker was running, or none could reach the database, when it was due. What follows is the job's
choice: nothing (`skip`), or one run for all the ticks that were missed (`once`). A tick is also skipped while an
earlier one has not started, because the job is paused or slower than its schedule. A run that an operator requested
does not count as an earlier tick.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg

from services.worker.ledger.job import Job
from services.worker.ledger.timetable import Timetable
from shared.clock import rfc3339
from shared.contracts import events
from shared.contracts.tasks import Tick
from shared.db.engine import Connection, Database
from shared.observability.logs import get_logger

log = get_logger(__name__)

LATE_S = 60.0

ADOPT = """
    INSERT INTO schedules AS known (name, cron, timezone, next_run) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone,
        next_run = CASE WHEN known.paused THEN NULL ELSE excluded.next_run END
    WHERE (known.cron, known.timezone) <> (excluded.cron, excluded.timezone)
"""
# Read from the row: a worker of another version may have another cron line.
FIND_DUE = """
    SELECT name, cron, timezone, last_run, next_run, now() AS at FROM schedules
    WHERE name = ANY($1) AND NOT paused AND next_run <= now() FOR UPDATE SKIP LOCKED
"""
FIND_NEXT = """
    SELECT extract(epoch FROM min(next_run) - now())::float8 FROM schedules WHERE name = ANY($1) AND NOT paused
"""
IS_WAITING = """
    SELECT EXISTS (
        SELECT FROM jobs WHERE job = $1 AND state = 'scheduled' AND lane IS NULL AND event_type = $2
        AND NOT EXISTS (
            SELECT FROM job_audit AS audit
            WHERE (audit.job, audit.event_id, audit.action) = (jobs.job, jobs.event_id, 'run')
        )
    )
"""
ADVANCE = "UPDATE schedules SET last_run = coalesce($2, last_run), next_run = $3 WHERE name = $1"
ADD_TICK = """
    INSERT INTO jobs (job, event_id, event_type, state, attempts, payload, headers, next_attempt_at)
    VALUES ($1, $2, $3, 'scheduled', 0, $4, $5, now()) ON CONFLICT DO NOTHING
"""


class Schedules:
    """The schedules of these jobs. Raises `InvalidSchedule`."""

    def __init__(self, db: Database, jobs: Iterable[Job]) -> None:
        self._db = db
        self._schedules = {job.name: job.schedule for job in jobs if job.schedule}
        self._timetables = {name: Timetable(each.cron, each.timezone) for name, each in self._schedules.items()}
        self._adopted = False

    async def tick(self) -> float | None:
        """Add a row to the ledger for each tick that is due; return the seconds until the next one, if any."""
        if not self._schedules:
            return None
        async with self._db.connection() as connection:
            if not self._adopted:
                await self._adopt(connection)
                self._adopted = True
            names = list(self._schedules)
            async with connection.transaction():
                for row in await connection.fetch(FIND_DUE, names):
                    await self._advance(connection, row)
            next_s: float | None = await connection.fetchval(FIND_NEXT, names)
            return next_s

    async def _adopt(self, connection: Connection) -> None:
        """Store the schedules that are new or have changed."""
        at = await connection.fetchval("SELECT now()")
        for name, schedule in self._schedules.items():
            next_run = self._timetables[name].next_after(at)
            await connection.execute(ADOPT, name, schedule.cron, schedule.timezone, next_run)

    async def _advance(self, connection: Connection, row: asyncpg.Record) -> None:
        name, at, tick_at = row["name"], row["at"], row["next_run"]
        late_s = (at - tick_at).total_seconds()
        runs = late_s < LATE_S or self._schedules[name].missed == "once"
        if await connection.fetchval(IS_WAITING, name, Tick.type):
            runs = False
        if runs:
            await add_tick(
                connection, tick_id(name, tick_at), Tick(schedule=name, at=tick_at, last_run=row["last_run"])
            )
        next_run = Timetable(row["cron"], row["timezone"]).next_after(at)
        await connection.execute(ADVANCE, name, tick_at if runs else None, next_run)
        if late_s >= LATE_S:
            log.warning("schedule is late", schedule=name, tick=rfc3339(tick_at), late_s=round(late_s), runs=runs)


async def add_tick(connection: Connection, event_id: UUID, tick: Tick) -> None:
    """Add a tick to the ledger, due now, unless it is there already."""
    headers = {
        "id": str(event_id),
        "type": Tick.type,
        "time": rfc3339(tick.at),
        "subject": str(tick.user_id),
        "dataschema": events.schema_of(Tick),
    }
    body = events.encode(tick)
    await connection.execute(ADD_TICK, tick.schedule, event_id, Tick.type, body, json.dumps(headers))


def tick_id(name: str, at: datetime) -> UUID:
    """Return the id of a tick: the same for every worker, and a UUIDv7, so that it sorts by its time."""
    random = uuid5(NAMESPACE_OID, f"{name} {rfc3339(at)}").int
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    return UUID(int=milliseconds << 80 | 7 << 76 | (random >> 64 & 0xFFF) << 64 | 2 << 62 | random & (1 << 62) - 1)
