"""Operators change many jobs: those of a cause, or of a search.

A job changes its state together with the audit row that names the operator. Changes are made in batches, each in its
own transaction. A batch skips rows that another has locked, such as those of attempts in flight: each job is changed
once, however many operators do the same at the same time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.worker import metrics
from services.worker.ledger.admin import search
from services.worker.ledger.admin.schemas import (
    Cancel,
    Cancelled,
    Discard,
    Discarded,
    Replay,
    Replayed,
    Retried,
    Retry,
    Selection,
)
from services.worker.ledger.admin.search import CLOSED, IN_CLOSED, OPEN, STATES, Filter, Query
from shared.db.engine import Connection, Database
from shared.observability.logs import get_logger

log = get_logger(__name__)

BATCH = 500
MOST_COUNTED = 100_000
"""Of scheduled and retrying jobs. Counting more would take longer than an operator waits."""
AUDIT = """
    INSERT INTO job_audit
        (job, event_id, user_id, previous_state, previous_attempts, previous_error, action, actor, reason)
"""
IS_PICKED = "(jobs.job, jobs.event_id) = (picked.job, picked.event_id)"

RUNNABLE = "payload IS NOT NULL"
"""Without a payload there is nothing to run: its user has been deleted."""
NOT_IN_FLIGHT = "coalesce(leased_until <= now(), true)"
OPEN_AGAIN = f"{OPEN} AND {RUNNABLE} AND {NOT_IN_FLIGHT}"
CLOSED_AGAIN = f"{CLOSED} AND state <> 'suppressed' AND {RUNNABLE}"
# A delivery is cancelled by disabling its webhook.
CANCELLABLE = f"{OPEN} AND state <> 'dead' AND lane IS NULL AND {NOT_IN_FLIGHT}"

Write = Callable[[Query, int], str]
"""Returns the `UPDATE` of the picked rows, of which so many have been changed already."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is done with the jobs that match a selection and one of the conditions, each of which has an index.

    `names`: only jobs with these names; None for any.
    """

    action: str
    selection: Selection
    conditions: Sequence[str]
    write: Write
    names: list[str] | None = None
    most_counted: int | None = None
    reason: str | None = None


async def replay(db: Database, order: Replay, actor: UUID, known: Iterable[str]) -> Replayed:
    """Retry the jobs, with a full set of attempts, at the requested rate. The others than `known` cannot run."""

    def write(query: Query, done: int) -> str:
        delay, rate, place = query.take(order.delay_s), query.take(order.rate_per_s), query.take(done)
        return f"""
            UPDATE jobs SET state = 'retrying', attempts = 0, updated_at = now(), next_attempt_at =
                now() + ({delay}::float8 + coalesce(({place} + place) / {rate}::float8, 0)) * interval '1 second'
            FROM (SELECT job, event_id, row_number() OVER () - 1 AS place FROM picked) AS picked WHERE {IS_PICKED}
        """  # noqa: S608  constants

    change = Change("replay", order, [f"state = '{order.state}' AND {RUNNABLE}"], write, list(known))
    matched, as_of, changed = await _make(db, change, actor)
    return Replayed(matched=matched, as_of=as_of, replayed=len(changed))


async def discard(db: Database, order: Discard, actor: UUID) -> Discarded:
    """Close the jobs without retrying them, and keep them."""

    def write(_query: Query, _done: int) -> str:
        return f"UPDATE jobs SET state = 'discarded', updated_at = now() FROM picked WHERE {IS_PICKED}"  # noqa: S608

    change = Change("discard", order, [f"state = 'dead' AND {RUNNABLE}"], write, reason=order.reason)
    matched, as_of, changed = await _make(db, change, actor)
    return Discarded(matched=matched, as_of=as_of, discarded=len(changed))


async def cancel(db: Database, order: Cancel, actor: UUID) -> Cancelled:
    """Cancel the jobs that have not run, or are to be retried. Attempts in flight and deliveries stay."""

    def write(_query: Query, _done: int) -> str:
        return f"""
            UPDATE jobs SET state = 'cancelled', next_attempt_at = NULL, updated_at = now() FROM picked
            WHERE {IS_PICKED}
        """  # noqa: S608  constants

    change = Change("cancel", order, _cancellable(order), write, most_counted=MOST_COUNTED)
    matched, as_of, changed = await _make(db, change, actor)
    for job in changed:
        metrics.JOBS.labels(job, "cancelled").inc()
    return Cancelled(matched=matched, as_of=as_of, cancelled=len(changed))


async def retry(db: Database, order: Retry, actor: UUID, known: Iterable[str]) -> Retried:
    """Make the jobs due now. Those that were given up get a full set of attempts. The others than `known` cannot
    run."""

    def write(_query: Query, _done: int) -> str:
        return f"""
            UPDATE jobs SET next_attempt_at = now(), updated_at = now(),
                attempts = CASE WHEN jobs.state IN ('scheduled', 'retrying') THEN jobs.attempts ELSE 0 END,
                state = CASE WHEN jobs.state = 'scheduled' THEN jobs.state ELSE 'retrying' END
            FROM picked WHERE {IS_PICKED}
        """  # noqa: S608  constants

    change = Change("retry", order, _retryable(order), write, list(known), MOST_COUNTED)
    matched, as_of, changed = await _make(db, change, actor)
    return Retried(matched=matched, as_of=as_of, retried=len(changed))


def _cancellable(order: Cancel) -> list[str]:
    return [CANCELLABLE if order.state is None else f"{CANCELLABLE} AND {STATES[order.state]}"]


def _retryable(order: Retry) -> list[str]:
    if order.state is not None:
        return [f"{CLOSED_AGAIN if order.state in IN_CLOSED else OPEN_AGAIN} AND {STATES[order.state]}"]
    if _asked(order).is_search or order.event_ids is not None:
        return [OPEN_AGAIN, CLOSED_AGAIN]
    return [OPEN_AGAIN]  # as in the list


async def _make(db: Database, change: Change, actor: UUID) -> tuple[int, datetime, list[str]]:
    """Return how many match now, and the current time, since which they must not have changed; and the names of the
    changed jobs.

    The time keeps a replayed job that dies again at once from being replayed twice.
    """
    order = change.selection
    async with db.connection() as connection:
        as_of = order.as_of or await connection.fetchval("SELECT now()")
        matched = sum([await _count(connection, change, condition, as_of) for condition in change.conditions])
    changed: list[str] = []
    if not order.dry_run:
        for condition in change.conditions:
            changed += await _in_batches(db, change, condition, as_of, actor, order.limit - len(changed))
    log.info(
        "jobs changed",
        action=change.action,
        actor=str(actor),
        matched=matched,
        changed=len(changed),
        dry_run=order.dry_run,
    )
    return matched, as_of, changed


async def _count(connection: Connection, change: Change, condition: str, as_of: datetime) -> int:
    query = _chosen(change, condition, as_of)
    rows = f"SELECT FROM jobs WHERE {query.where} LIMIT {change.most_counted or 'ALL'}"
    found: int = await connection.fetchval(f"SELECT count(*) FROM ({rows}) AS found", *query.arguments)  # noqa: S608
    return found


def _asked(order: Selection) -> Filter:
    return Filter(
        job=order.job,
        error_group=order.error_group,
        user_id=order.user_id,
        event_type=order.event_type,
        since=order.since,
        until=order.until,
        text=order.q,
    )


def _chosen(change: Change, condition: str, as_of: datetime) -> Query:
    order = change.selection
    query = search.matching(_asked(order))
    query.add(condition)
    query.add("updated_at <= ?", as_of)
    if change.names is not None:
        query.add("job = ANY(?)", change.names)
    if order.event_ids is not None:
        query.add("event_id = ANY(?)", order.event_ids)
    return query


async def _in_batches(
    db: Database, change: Change, condition: str, as_of: datetime, actor: UUID, limit: int
) -> list[str]:
    done: list[str] = []
    while len(done) < limit:
        size = min(BATCH, limit - len(done))
        query = _chosen(change, condition, as_of)
        statement = _statement(query, change, size, len(done), actor)
        async with db.connection() as connection:
            changed = await connection.fetch(statement, *query.arguments)
        done += [row["job"] for row in changed]
        if len(changed) < size:
            break
    return done


def _statement(query: Query, change: Change, size: int, done: int, actor: UUID) -> str:
    where = query.where
    write = change.write(query, done)
    action, by, reason = query.take(change.action), query.take(actor), query.take(change.reason)
    return f"""
        WITH picked AS (
            SELECT job, event_id, user_id, state, attempts, last_error FROM jobs WHERE {where}
            LIMIT {size} FOR UPDATE SKIP LOCKED
        ), changed AS ({write})
        {AUDIT} SELECT picked.*, {action}::text, {by}::uuid, {reason}::text FROM picked RETURNING job
    """  # noqa: S608  constants
