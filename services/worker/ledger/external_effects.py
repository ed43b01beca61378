"""External effects: work outside the database has no transaction, so its job is leased while it is in flight.

The ledger's row is committed as due again at the end of the lease before anything is done, and settled afterwards. If
the process is killed in between, the lease expires and another process takes the job; the effect's own record tells
what has been done. No database connection is held during that time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import stamina

from services.worker.ledger.job import ExternalEffect, Job, JobMessage, Transient
from shared.db.engine import Connection, Database, is_outage
from shared.observability.logs import get_logger

log = get_logger(__name__)

INTERRUPTED_SETTLE_S = 1.5
"""How long a process tries to record its work after its grace period has ended."""

LEASE = """
    WITH leased AS (
        UPDATE jobs SET state = 'retrying', attempts = $3, payload = $5, headers = $6, updated_at = now(),
            next_attempt_at = clock_timestamp() + $4 * interval '1 second',
            leased_until = clock_timestamp() + $4 * interval '1 second'
        WHERE job = $1 AND event_id = $2
    )
    INSERT INTO job_attempts (job, event_id, started_at, worker, outcome, trace_id)
    VALUES ($1, $2, now(), $7, 'running', $8) RETURNING started_at
"""
HELD = "SELECT true FROM jobs WHERE job = $1 AND event_id = $2 AND state = 'retrying' AND attempts = $3 FOR UPDATE"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RepeatableWork:
    """Work that may be done again, such as deleting what has expired: nothing is recorded but the attempt."""

    work: Callable[[], Awaitable[None]]
    lease_s: float = 600.0

    async def run(self, _db: Database) -> None:
        await self.work()

    async def settle(self, _connection: Connection, _failure: Exception | None) -> None:
        """Nothing depends on its outcome."""


class Interrupted(Transient):
    """The process was told to stop."""


@dataclass(frozen=True, slots=True)
class Leased:
    """An attempt that is in flight outside the database."""

    job: Job
    message: JobMessage
    attempt: int
    effect: ExternalEffect
    trace_id: str | None
    started_at: datetime | None = None


Record = Callable[[Connection, Leased, Exception | None], Awaitable[T]]
"""Writes the outcome of an attempt into the ledger."""


async def lease(connection: Connection, leased: Leased, worker: str) -> Leased:
    message = leased.message
    started_at = await connection.fetchval(
        LEASE,
        leased.job.name,
        message.event_id,
        leased.attempt,
        leased.effect.lease_s,
        message.body,
        message.headers_json,
        worker,
        leased.trace_id,
    )
    return replace(leased, started_at=started_at)


async def is_held(connection: Connection, leased: Leased) -> bool:
    """Return whether the row still belongs to this attempt; then it stays so until the transaction ends."""
    return bool(await connection.fetchval(HELD, leased.job.name, leased.message.event_id, leased.attempt))


async def conclude(db: Database, leased: Leased, record: Record[T]) -> T:
    """Do the remaining work outside, then settle it and record it in one transaction."""
    failure: Exception | None = None
    try:
        await leased.effect.run(db)
    except asyncio.CancelledError:
        await _settle_interrupted(db, leased, record)
        raise
    except Exception as error:
        failure = error
    async with asyncio.timeout(leased.effect.lease_s):
        return await _settle(db, leased, failure, record)


async def _settle_interrupted(db: Database, leased: Leased, record: Record[T]) -> None:
    try:
        async with asyncio.timeout(INTERRUPTED_SETTLE_S):
            await _settle(db, leased, Interrupted("the worker was told to stop"), record)
    except Exception as error:
        log.warning("interrupted, and not recorded", lease_s=leased.effect.lease_s, error=repr(error))


async def _settle(db: Database, leased: Leased, failure: Exception | None, record: Record[T]) -> T:
    """Retried as long as the database is down: if the outcome is not recorded, it cannot be determined later."""
    async for attempt in stamina.retry_context(on=is_outage, attempts=None, timeout=None, wait_max=1):
        with attempt:
            async with db.connection() as connection, connection.transaction():
                recorded = await record(connection, leased, failure)
                await leased.effect.settle(connection, failure)
                return recorded
    raise AssertionError("unreachable")
