"""The jobs that a simulation runs besides those of the worker: their effects can be counted."""

from services.worker.jobs import job
from services.worker.ledger.job import Transient
from shared.contracts.events import Envelope
from shared.contracts.tasks import Task, Tick
from shared.db.engine import Connection

TABLES = """
    CREATE TABLE simulation.effects (
        id bigserial, event_id uuid, task_key text, attempt integer, at timestamptz DEFAULT simulation.clock_timestamp()
    );
    CREATE TABLE simulation.ticks (
        id bigserial, event_id uuid, tick_at timestamptz, at timestamptz DEFAULT simulation.clock_timestamp()
    );
"""
"""Without any unique constraint, so that what is done twice can be seen."""
COUNT = "SELECT count(*) FROM job_attempts WHERE job = 'simulated' AND event_id = $1"


class Simulate(Task, frozen=True, kw_only=True):
    """Take effect once, after this number of failed attempts."""

    fails: int = 0
    task_key: str | None = None


class NotYet(Transient):
    """An attempt that is to fail."""


@job(name="simulated", on=Simulate, attempts=60, backoff_base_s=0.3, backoff_cap_s=4, concurrency=4)
async def simulated(task: Simulate, envelope: Envelope, db: Connection) -> None:
    failed: int = await db.fetchval(COUNT, envelope.id)
    await db.execute(
        "INSERT INTO simulation.effects (event_id, task_key, attempt) VALUES ($1, $2, $3)",
        envelope.id,
        task.task_key,
        failed,
    )
    if failed < task.fails:
        raise NotYet(f"{failed} of {task.fails}")


@job(name="simulated-tick", cron="* * * * *", attempts=60, backoff_base_s=0.3, backoff_cap_s=4)
async def simulated_tick(tick: Tick, envelope: Envelope, db: Connection) -> None:
    await db.execute("INSERT INTO simulation.ticks (event_id, tick_at) VALUES ($1, $2)", envelope.id, tick.at)
