"""The ledger: every job takes effect once for each event, however often the event arrives.

The row of (job, event) is written before the effect and in the same transaction: a duplicate that arrives then
waits on the row, then finds it and does nothing. A failing effect is rolled back, and the same transaction records the
failure; the message is acknowledged either way. An exception of these methods means that the ledger could not be
written: nothing has happened, and the message must be returned to the queue.

No transaction can include an effect outside the database. A job that has one is leased instead, see `external_effects`.

A task that may not start yet, because it is delayed, has a key, or its job has a rate, is stored with its message. The
retry loop runs it when it is due.
"""

import asyncio
import math
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import NamedTuple
from uuid import UUID

import asyncpg
import structlog

from services.worker import metrics
from services.worker.ledger import erasure, external_effects, failures, keys, spans
from services.worker.ledger import job as lateness
from services.worker.ledger.attempt import observed
from services.worker.ledger.external_effects import Leased
from services.worker.ledger.failures import DeadLetter
from services.worker.ledger.job import BatchEffect, Decision, ExternalEffect, Job, JobMessage, Postponed, Suppressed
from services.worker.ledger.sql import (
    CLAIM,
    CLAIM_MANY,
    CLOSE,
    FAIL,
    FIND_PAUSED,
    LOG_DONE,
    LOG_MANY_DONE,
    POSTPONE,
    PROBE,
    RECORD_DEAD_LETTER,
    STORE,
    SUCCEED,
    TAKE_DUE,
    TAKE_ONE,
    TAKE_TURN,
)
from shared.contracts.events import Envelope
from shared.db.engine import Connection, Database
from shared.observability import tracing
from shared.observability.logs import get_logger
from shared.observability.pools import POOLS, CountedSemaphore
from shared.observability.telemetry import Trace, current_trace

log = get_logger(__name__)

PROBE_TIMEOUT_S = 5.0
MOST_OF_POOL = 0.75
"""The transactions of all jobs together hold this share of the connections at most. The rest is for panels and
routes."""
RATE_BURST_S = 0.05
"""How much of a job's rate may be started at once after a pause."""


class Outcome(StrEnum):
    DONE = "done"
    DUPLICATE = "duplicate"
    RETRYING = "retrying"
    DEAD = "dead"
    SCHEDULED = "scheduled"
    SUPPRESSED = "suppressed"


OnDone = Callable[[Job, UUID], None]
"""Called with each job and user after the commit; must not fail."""


Refuse = Callable[[Job, Envelope], object]
"""Raises if an event is too old. Ages are computed with the database's clock."""


class _Taken(NamedTuple):
    """A due job, and its progress: done, failed, or to be finished outside the database."""

    message: JobMessage
    step: Outcome | Leased
    attempt: int
    began: float
    trace: Trace


class Alarm:
    """Ends the pause of the retry loop when the next job is due."""

    def __init__(self) -> None:
        self._due = math.inf
        self._earlier = asyncio.Event()

    def set(self, seconds: float) -> None:
        """A job is due in this many seconds."""
        due = asyncio.get_running_loop().time() + seconds
        if due < self._due:
            self._due = due
            self._earlier.set()

    async def wait(self) -> None:
        """Wait until the first job is due that was set since the last call."""
        clock = asyncio.get_running_loop().time
        while (left := self._due - clock()) > 0:
            self._earlier.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if left == math.inf else left):
                    await self._earlier.wait()
        self._due = math.inf


class Ledger:
    """`keep_done_s` is the minimum retention of completed jobs."""

    def __init__(self, db: Database, on_done: OnDone, keep_done_s: float) -> None:
        self._db = db
        self._on_done = on_done
        self._keep_done_s = keep_done_s
        self._slots: dict[str, CountedSemaphore] = {}
        self._transactions = CountedSemaphore(max(1, int(db.pool.get_max_size() * MOST_OF_POOL)))
        POOLS.watch_slots("job_transactions", self._transactions)
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._outside: Counter[str] = Counter()
        self.alarm = Alarm()

    def in_progress(self) -> dict[str, int]:
        """Return the attempts of this process that are in progress, by job; a batch is one."""
        taken = Counter({job: slots.taken for job, slots in self._slots.items()})
        return {job: count for job, count in (taken + self._outside).items() if count}

    async def run(self, job: Job, message: JobMessage) -> Outcome:
        """Run a job for a message that has arrived. The caller records the attempt."""
        async with self._slot(job):
            trace = current_trace.get() or Trace.start()
            async with self._transaction() as connection:
                if _may_start(job, message):
                    step = await self._first_attempt(connection, job, message, trace)
                else:
                    step = await self._store(connection, job, message, trace)
            outcome = await self._conclude(step)
        self._tell(job, outcome, message)
        return outcome

    async def run_observed(self, job: Job, message: JobMessage) -> Outcome:
        """Run a job for a message that has arrived, and record the attempt."""
        return await observed(job.name, message, lambda: self.run(job, message))

    async def run_many(self, job: Job, effect: BatchEffect, messages: Sequence[JobMessage]) -> None:
        """Run a job for many readable messages in one transaction. If it raises, none of them has been processed.

        Those that may not start yet are stored before.
        """
        for message in messages:
            if not _may_start(job, message):
                await self.run_observed(job, message)
        messages = [message for message in messages if _may_start(job, message)]
        if not messages:
            return
        async with self._slot(job):
            began = time.perf_counter()
            with spans.of_many(job.name, messages):
                async with self._transaction() as connection:
                    new, at = await self._claim_many(connection, job, messages)
                    await effect(connection, await self._wanted(connection, job, new, at))
                    await self._log_many(connection, job, new)
                metrics.DURATION.labels(job.name).observe(time.perf_counter() - began, tracing.exemplar())
        metrics.BATCH_SIZE.labels(job.name).observe(len(messages))
        metrics.JOBS.labels(job.name, Outcome.DONE).inc(len(new))
        metrics.JOBS.labels(job.name, Outcome.DUPLICATE).inc(len(messages) - len(new))
        for _ in new:
            metrics.ATTEMPTS.labels(job.name).observe(1)
        for user_id in {message.user_id for message in new}:
            if user_id is not None:
                self._on_done(job, user_id)

    async def run_due(self, job: Job) -> Outcome | None:
        """Run one due job without a lane; None if there is none that may start. Many workers may do so at once."""
        async with self._slot(job):
            if job.rate_per_s and not await self._take_turn(job.name, job.rate_per_s):
                return None
            taken = await self._take(job, TAKE_DUE, job.name)
            return await self._finish(job, taken) if taken else None

    async def run_one(self, job: Job, event_id: UUID) -> Outcome | None:
        """Retry this job if it is still due and no other worker runs it. The caller limits the concurrency: only
        claiming it, for which a connection is held, counts towards the job's `concurrency`."""
        async with self._slot(job):
            taken = await self._take(job, TAKE_ONE, job.name, event_id)
        if taken is None:
            return None
        self._outside[job.name] += 1
        try:
            return await self._finish(job, taken)
        finally:
            self._outside[job.name] -= 1

    async def paused(self) -> frozenset[str]:
        """Return the names of the jobs that do not run until they are resumed."""
        async with self._db.connection() as connection:
            return frozenset(row["job"] for row in await connection.fetch(FIND_PAUSED))

    async def _take_turn(self, job: str, rate_per_s: float) -> bool:
        async with self._db.connection() as connection:
            return bool(await connection.fetchval(TAKE_TURN, job, 1 / rate_per_s, RATE_BURST_S))

    async def _take(self, job: Job, statement: str, *arguments: object) -> _Taken | None:
        began = time.perf_counter()
        while True:
            async with self._transaction() as connection:
                row = await connection.fetchrow(statement, *arguments)
                if row is None:
                    return None
                if not keys.is_unstarted(row):
                    return await self._attempt_taken(connection, job, row, began)
            async with self._transaction() as connection:
                await keys.start(connection, job.name, row)

    async def _attempt_taken(self, connection: Connection, job: Job, row: asyncpg.Record, began: float) -> _Taken:
        attempt: int = row["attempts"] + 1
        message = JobMessage.kept(row["event_id"], row["headers"], row["payload"])
        with spans.of(job.name, message, attempt) as span:
            step = await self._attempt(connection, job, message, attempt, _refusal(row), span.trace)
            if isinstance(step, Outcome):
                span.set({"dashboard.job.outcome": step})
        if step is Outcome.DONE:
            await self._succeed(connection, job, message, attempt, span.trace.trace_id)
        return _Taken(message, step, attempt, began, span.trace)

    async def _finish(self, job: Job, taken: _Taken) -> Outcome:
        with tracing.Position(taken.trace):
            outcome = await self._conclude(taken.step)
            metrics.count_attempt(job.name, outcome, time.perf_counter() - taken.began, taken.attempt)
        self._tell(job, outcome, taken.message)
        return outcome

    async def record_dead_letter(self, dead_letter: DeadLetter, message: JobMessage) -> None:
        """Store a dead letter as a dead job, unless the ledger has a row for it already."""
        async with self._transaction() as connection:
            if dead_letter.ends_with_user and await _is_erased(connection, message):
                return
            row = (dead_letter.job, message.event_id, message.user_id, message.event_type)
            kept = (dead_letter.description, dead_letter.error_group, message.body, message.headers_json)
            is_new = await connection.fetchval(RECORD_DEAD_LETTER, *row, *kept)
        if is_new:
            metrics.DEAD_LETTERS.labels(dead_letter.job, dead_letter.reason).inc()
            log.error(
                "given up by RabbitMQ", job=dead_letter.job, event_id=str(message.event_id), reason=dead_letter.reason
            )

    async def probe(self) -> None:
        """Raises unless rows can be written, which is more than being reachable; leaves none behind."""
        async with self._db.connection() as connection:
            await connection.execute(PROBE, timeout=PROBE_TIMEOUT_S)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with self._transactions, self._db.connection() as connection, connection.transaction():
            yield connection

    def _slot(self, job: Job) -> AbstractAsyncContextManager[object]:
        if job.name not in self._slots:
            slots = self._slots[job.name] = CountedSemaphore(job.policy.concurrency)
            POOLS.watch_slots(f"job_{job.name}", slots)
        return self._slots[job.name]

    async def _store(self, connection: Connection, job: Job, message: JobMessage, trace: Trace) -> Outcome:
        """Store a task that may not start yet, unless a task with its key runs instead."""
        envelope = message.envelope
        if envelope.key is not None:
            await keys.lock(connection, job.name, envelope.event.type, envelope.key)
        row = await connection.fetchrow(
            STORE,
            job.name,
            message.event_id,
            message.user_id,
            message.event_type,
            message.body,
            message.headers_json,
            envelope.key,
            envelope.due_at,
            0.0 if envelope.key is None else keys.PAUSE_S,
        )
        if row is None:
            return Outcome.DUPLICATE
        if job.policy.ends_with_user and await _is_erased(connection, message):
            await connection.execute(CLOSE, job.name, message.event_id, Outcome.DONE)
            return Outcome.DONE
        try:
            _refuse_expired(job, envelope, row["at"])
            lateness.refuse_unremembered(self._keep_done_s, envelope, row["at"])
        except lateness.JobError as error:
            return await self._fail(connection, job, message, 1, error, trace.trace_id)
        if envelope.key is not None:
            suppressed = await keys.suppress(connection, job.name, envelope, row["next_attempt_at"])
            metrics.JOBS.labels(job.name, Outcome.SUPPRESSED).inc(suppressed)
        self.alarm.set((row["next_attempt_at"] - row["at"]).total_seconds())
        return Outcome.SCHEDULED

    async def _first_attempt(
        self, connection: Connection, job: Job, message: JobMessage, trace: Trace
    ) -> Outcome | Leased:
        row = (job.name, message.event_id, message.user_id, message.event_type)
        at = await connection.fetchval(CLAIM, *row)
        if at is None:
            return Outcome.DUPLICATE
        step = await self._attempt(connection, job, message, 1, partial(self._refuse_new, at=at), trace)
        if step is Outcome.DONE:
            await connection.execute(LOG_DONE, job.name, message.event_id, self._worker, trace.trace_id)
        return step

    async def _claim_many(
        self, connection: Connection, job: Job, messages: Sequence[JobMessage]
    ) -> tuple[list[JobMessage], datetime | None]:
        """Return the new deliveries, in the order of their ids, so that two workers cannot deadlock; and the time."""
        unique = {message.event_id: message for message in messages}
        ordered = [unique[event_id] for event_id in sorted(unique)]
        columns = [(message.event_id, message.user_id, message.event_type) for message in ordered]
        claimed = await connection.fetch(CLAIM_MANY, job.name, *map(list, zip(*columns, strict=True)))
        return [unique[row["event_id"]] for row in claimed], claimed[0]["at"] if claimed else None

    async def _log_many(self, connection: Connection, job: Job, new: Sequence[JobMessage]) -> None:
        if new:
            ids = [message.event_id for message in new]
            traces = [_trace_id(message) for message in new]
            await connection.execute(LOG_MANY_DONE, job.name, ids, self._worker, traces)

    async def _wanted(
        self, connection: Connection, job: Job, new: Sequence[JobMessage], at: datetime | None
    ) -> list[Envelope]:
        """Return the events without those of deleted users. Raises if one is too old."""
        envelopes = [message.envelope for message in new]
        if at is not None:
            for envelope in envelopes:
                self._refuse_new(job, envelope, at)
        if not job.policy.ends_with_user:
            return envelopes
        gone = await erasure.erased(connection, (envelope.event.user_id for envelope in envelopes))
        return [envelope for envelope in envelopes if envelope.event.user_id not in gone]

    async def _attempt(
        self, connection: Connection, job: Job, message: JobMessage, attempt: int, refuse: Refuse, trace: Trace
    ) -> Outcome | Leased:
        with structlog.contextvars.bound_contextvars(job=job.name, event_id=str(message.event_id)):
            if job.policy.ends_with_user and await _is_erased(connection, message):
                return Outcome.DONE
            try:
                envelope = message.envelope
                refuse(job, envelope)
                left = await _in_savepoint(connection, job, envelope)
            except Postponed as later:
                return await self._postpone(connection, job, message, attempt, later.until)
            except Exception as error:
                return await self._fail(connection, job, message, attempt, error, trace.trace_id)
            if left is not None:
                leased = Leased(job, message, attempt, left, trace.trace_id)
                return await external_effects.lease(connection, leased, self._worker)
            return Outcome.DONE

    async def _conclude(self, step: Outcome | Leased) -> Outcome:
        if isinstance(step, Outcome):
            return step
        with structlog.contextvars.bound_contextvars(job=step.job.name, event_id=str(step.message.event_id)):
            return await external_effects.conclude(self._db, step, self._record)

    async def _record(self, connection: Connection, leased: Leased, failure: Exception | None) -> Outcome:
        job, message, attempt = leased.job, leased.message, leased.attempt
        if failure is None or (job.policy.ends_with_user and await _is_erased(connection, message)):
            await self._succeed(connection, job, message, attempt, leased.trace_id, leased.started_at)
            return Outcome.DONE
        if not await external_effects.is_held(connection, leased):
            return Outcome.DUPLICATE
        return await self._fail(connection, job, message, attempt, failure, leased.trace_id, leased.started_at)

    async def _succeed(
        self,
        connection: Connection,
        job: Job,
        message: JobMessage,
        attempt: int,
        trace_id: str | None,
        started_at: datetime | None = None,
    ) -> None:
        """`started_at` is when the attempt began, if that was not in this transaction."""
        logged = (started_at, self._worker, trace_id)
        await connection.execute(SUCCEED, job.name, message.event_id, attempt, *logged)

    async def _postpone(
        self, connection: Connection, job: Job, message: JobMessage, attempt: int, until: datetime
    ) -> Outcome:
        kept = (message.body, message.headers_json_due(until))
        self.alarm.set(await connection.fetchval(POSTPONE, job.name, message.event_id, attempt - 1, until, *kept))
        return Outcome.SCHEDULED

    async def _fail(
        self,
        connection: Connection,
        job: Job,
        message: JobMessage,
        attempt: int,
        error: Exception,
        trace_id: str | None,
        started_at: datetime | None = None,
    ) -> Outcome:
        outcome = _outcome_of(error, attempt, job)
        over, retried = outcome is Outcome.SUPPRESSED, outcome is Outcome.RETRYING
        await connection.execute(
            FAIL,
            job.name,
            message.event_id,
            attempt,
            started_at,
            self._worker,
            trace_id,
            outcome,
            max(job.policy.backoff_s(attempt), failures.asked_to_wait_s(error)) if retried else None,
            failures.describe(error),
            None if over else failures.error_group(error),
            None if over else message.body,
            None if over else message.headers_json,
        )
        if over:
            log.info("job suppressed", reason=failures.describe(error))
        else:
            write = log.warning if retried else log.error
            write("job failed", outcome=outcome, attempt=attempt, error=failures.describe(error))
        return outcome

    def _refuse_new(self, job: Job, envelope: Envelope, at: datetime) -> None:
        _refuse_late(job, envelope, at)
        lateness.refuse_unremembered(self._keep_done_s, envelope, at)

    def _tell(self, job: Job, outcome: Outcome, message: JobMessage) -> None:
        if outcome is Outcome.DONE and message.user_id:
            self._on_done(job, message.user_id)


def _may_start(job: Job, message: JobMessage) -> bool:
    """Return whether a message that has arrived may be processed at once."""
    content = message.content
    if not isinstance(content, Envelope):
        return True
    return content.due_at is None and content.key is None and job.rate_per_s is None


async def _in_savepoint(connection: Connection, job: Job, envelope: Envelope) -> ExternalEffect | None:
    """Run the effect; it leaves nothing if it fails. Otherwise the savepoint ends with the transaction."""
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        return await job.effect(connection, envelope)
    except Decision:
        raise
    except Exception:
        await savepoint.rollback()
        raise


def _outcome_of(error: Exception, attempt: int, job: Job) -> Outcome:
    if isinstance(error, Suppressed):
        return Outcome.SUPPRESSED
    return Outcome.DEAD if failures.is_permanent(error) or attempt >= job.policy.attempts else Outcome.RETRYING


def _trace_id(message: JobMessage) -> str | None:
    trace = Trace.parse(message.traceparent)
    return trace.trace_id if trace else None


def _refusal(row: asyncpg.Record) -> Refuse:
    if row["state"] == "scheduled":
        return partial(_refuse_late, at=row["at"])
    if row["attempts"]:
        return partial(_refuse_expired, at=row["at"])
    return _refuse_nothing  # it has been replayed: the operator knew how old it is


def _refuse_late(job: Job, envelope: Envelope, at: datetime) -> None:
    """For a first attempt: measure the age, too."""
    metrics.AGE.labels(job.name).observe(lateness.age_s(envelope, at))
    _refuse_expired(job, envelope, at)


def _refuse_expired(job: Job, envelope: Envelope, at: datetime) -> None:
    lateness.refuse_expired(job.policy, envelope, at)


def _refuse_nothing(_job: Job, _envelope: Envelope) -> None:
    pass


async def _is_erased(connection: Connection, message: JobMessage) -> bool:
    return message.user_id is not None and bool(await erasure.erased(connection, [message.user_id]))
