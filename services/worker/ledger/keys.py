"""Keys of tasks: of all tasks with one type and key that are committed before one of them starts, one runs.

A task with a key is stored when it arrives, and starts a little later, so that tasks that were committed at the same
time arrive before. The one that can start first runs; the others are suppressed. A task that arrives later is
suppressed if its relay saw it, which is after its commit, before another one started. The times are those of the two
databases: their clocks must agree, as with NTP.

A lock of the key lets one task arrive or start at a time. A start is committed before the attempt begins: a task that
arrives during a long attempt finds that the key has started.
"""

from datetime import datetime

import asyncpg

from services.worker.ledger.sql import CLOSE
from shared.contracts.events import Envelope
from shared.db.engine import Connection

PAUSE_S = 0.25
"""How long a task with a key waits for others before it starts."""
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2 || ' ' || $3, 0))"
FIND_STARTED = """
    SELECT started_at FROM jobs
    WHERE job = $1 AND event_type = $2 AND task_key = $3 AND event_id <> $4 AND started_at IS NOT NULL
    ORDER BY started_at DESC LIMIT 1
"""
FIND_WAITING = """
    SELECT event_id, next_attempt_at FROM jobs
    WHERE job = $1 AND event_type = $2 AND task_key = $3 AND event_id <> $4
        AND started_at IS NULL AND state IN ('retrying', 'scheduled')
"""
START = """
    UPDATE jobs SET started_at = clock_timestamp()
    WHERE job = $1 AND event_id = $2 AND started_at IS NULL AND state IN ('retrying', 'scheduled')
"""


async def lock(connection: Connection, job: str, event_type: str, key: str) -> None:
    """Lock a key until the end of the transaction."""
    await connection.execute(LOCK, job, event_type, key)


async def suppress(connection: Connection, job: str, envelope: Envelope, starts_at: datetime) -> int:
    """Leave at most one waiting task of the key of a task that has just been stored, and return how many tasks were
    suppressed. The key must be locked."""
    key = (job, envelope.event.type, envelope.key, envelope.id)
    last_start = await connection.fetchval(FIND_STARTED, *key)
    if last_start is not None and envelope.seen_at is not None and envelope.seen_at < last_start:
        await connection.execute(CLOSE, job, envelope.id, "suppressed")
        return 1
    waiting = await connection.fetch(FIND_WAITING, *key)
    is_first = all(starts_at < other["next_attempt_at"] for other in waiting)
    suppressed = [other["event_id"] for other in waiting] if is_first else [envelope.id]
    for event_id in suppressed:
        await connection.execute(CLOSE, job, event_id, "suppressed")
    return len(suppressed)


def is_unstarted(row: asyncpg.Record) -> bool:
    """Return whether a row that is due must be started before its attempt."""
    return row["task_key"] is not None and row["started_at"] is None


async def start(connection: Connection, job: str, row: asyncpg.Record) -> None:
    """Record the start, unless the task is suppressed or started meanwhile."""
    await lock(connection, job, row["event_type"], row["task_key"])
    await connection.execute(START, job, row["event_id"])
