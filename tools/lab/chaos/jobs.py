"""The jobs of a run: each records that it ran. The workers load them with `WORKER_JOBS`.

One attempt in ten fails after its effect, which must leave nothing.
"""

import random

from services.worker.jobs import job
from services.worker.ledger.job import Transient
from shared.contracts.events import Envelope
from shared.contracts.tasks import Tick
from shared.db.engine import Connection
from tools.lab.chaos.record_run import SCHEDULE, TASK_JOB, RecordRun

FAILURES = 0.1
LONGEST_BACKOFF_S = 5.0
RECORD = "INSERT INTO chaos_runs (event_id, tick, seen_at) VALUES ($1, $2, $3)"


class FailsOnPurpose(Transient):
    pass


@job(name=TASK_JOB, on=RecordRun, backoff_cap_s=LONGEST_BACKOFF_S)
async def record_task(envelope: Envelope, db: Connection) -> None:
    await _record(envelope, db)


@job(name=SCHEDULE, cron="* * * * *", backoff_cap_s=LONGEST_BACKOFF_S)
async def record_tick(envelope: Envelope, db: Connection) -> None:
    await _record(envelope, db)


async def _record(envelope: Envelope, db: Connection) -> None:
    tick = envelope.event.at if isinstance(envelope.event, Tick) else None
    await db.execute(RECORD, envelope.id, tick, envelope.seen_at)
    if random.random() < FAILURES:
        raise FailsOnPurpose
