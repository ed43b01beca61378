"""The last hour of each job, minute by minute: attempts by outcome, and their median duration.

Each process counts its attempts for `/metrics`. The differences are added to `job_minutes` every few seconds, so that a
chart of the last hour costs the reader one row for each job and minute, however many attempts there were. The ledger is
exact, and this is not: a killed process loses its last seconds, and a write whose outcome is unknown is repeated.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, groupby

import asyncpg

from services.worker import metrics
from shared.db.engine import Database
from shared.observability.logs import get_logger
from shared.observability.quantiles import quantile

log = get_logger(__name__)

EVERY_S = 5.0
MINUTE_S = 60
LEAVE_TIMEOUT_S = 3.0
HOUR = timedelta(hours=1)
BOUNDS_S = (*metrics.DURATION_BUCKETS_S, math.inf)
"""The upper bounds of `durations`, which has a count for each. They are part of the stored data."""
OUTCOMES = {"done": "done", "dead": "failed", "retrying": "retried"}
"""The column of each outcome of an attempt."""

ADD = """
    INSERT INTO job_minutes AS known (job, minute, done, failed, retried, durations) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (job, minute) DO UPDATE SET done = known.done + excluded.done,
        failed = known.failed + excluded.failed, retried = known.retried + excluded.retried,
        durations = ARRAY(
            SELECT coalesce(a, 0) + coalesce(b, 0)
            FROM unnest(known.durations, excluded.durations) WITH ORDINALITY AS added (a, b, place) ORDER BY place
        )
"""
READ = """
    SELECT job, minute, done, failed, retried, durations FROM job_minutes
    WHERE minute > $1::timestamptz - interval '1 hour' AND minute <= $1 AND ($2::text IS NULL OR job = $2)
    ORDER BY job, minute
"""
EXPIRE = "DELETE FROM job_minutes WHERE minute < now() - 2 * interval '1 hour'"


@dataclass
class Counts:
    """Attempts by outcome, and by duration: `durations` has one count for each of `BOUNDS_S`."""

    done: int = 0
    failed: int = 0
    retried: int = 0
    durations: tuple[int, ...] = (0,) * len(BOUNDS_S)

    def __bool__(self) -> bool:
        return bool(self.done or self.failed or self.retried or any(self.durations))

    def __add__(self, other: "Counts") -> "Counts":
        return self._with(other, 1)

    def __sub__(self, other: "Counts") -> "Counts":
        return self._with(other, -1)

    def _with(self, other: "Counts", sign: int) -> "Counts":
        return Counts(
            self.done + sign * other.done,
            self.failed + sign * other.failed,
            self.retried + sign * other.retried,
            tuple(a + sign * b for a, b in zip(self.durations, other.durations, strict=True)),
        )


@dataclass(frozen=True)
class Minute:
    """One minute of a job. The median is of all attempts, of which a batch is one; None without any."""

    at: datetime
    done: int
    failed: int
    retried: int
    median_ms: float | None


@dataclass(frozen=True)
class Hour:
    """The sums of an hour of a job, and its minutes with attempts, the oldest first."""

    job: str
    done: int
    failed: int
    retried: int
    median_ms: float | None
    minutes: Sequence[Minute]


class History:
    """What this process has counted, and not stored yet."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._before: Mapping[str, Counts] = counted()
        self._minute = minute_of(time.time())
        self._unsaved: dict[tuple[str, datetime], Counts] = defaultdict(Counts)

    async def run(self) -> None:
        """Store what was counted, until cancelled. A sample is taken at the end of each minute."""
        while True:
            await asyncio.sleep(EVERY_S - time.time() % EVERY_S)
            await self.save()

    async def leave(self) -> None:
        """Store the rest when the process stops."""
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self.save()
        except Exception as error:
            log.debug("the last seconds of the history cannot be stored", error=repr(error))

    async def save(self) -> None:
        """Raises if the database cannot be written; what was counted is then kept for an hour."""
        self._take()
        if not self._unsaved:
            return
        rows = [
            (job, minute, each.done, each.failed, each.retried, list(each.durations))
            for (job, minute), each in sorted(self._unsaved.items())
        ]
        async with self._db.connection() as connection, connection.transaction():
            await connection.executemany(ADD, rows)
        self._unsaved.clear()

    def _take(self) -> None:
        """Count what happened since the last sample to the minute of that."""
        now, since = counted(), self._minute
        for job, counts in now.items():
            if more := counts - self._before.get(job, Counts()):
                self._unsaved[job, since] += more
        self._before, self._minute = now, minute_of(time.time())
        for key in [key for key in self._unsaved if key[1] < self._minute - HOUR]:
            del self._unsaved[key]


async def expire(db: Database) -> None:
    """Delete the minutes that are not shown any more."""
    async with db.connection() as connection:
        await connection.execute(EXPIRE)


async def read(db: Database, job: str | None) -> tuple[datetime, list[Hour]]:
    """Return the current minute, and the hour that ends with it, by job; `job`: only of this one."""
    async with db.connection() as connection:
        at = await connection.fetchval("SELECT date_trunc('minute', now())")
        rows = await connection.fetch(READ, at, job)
    return at, [_hour(name, list(minutes)) for name, minutes in groupby(rows, lambda row: row["job"])]


def _hour(job: str, rows: Sequence[asyncpg.Record]) -> Hour:
    done, failed, retried = (sum(row[column] for row in rows) for column in ("done", "failed", "retried"))
    durations = [sum(counts) for counts in zip(*(row["durations"] for row in rows), strict=True)]
    minutes = [
        Minute(row["minute"], row["done"], row["failed"], row["retried"], median_ms(row["durations"])) for row in rows
    ]
    return Hour(job, done, failed, retried, median_ms(durations), minutes)


def median_ms(durations: Sequence[int]) -> float | None:
    """Return the median in milliseconds, as exact as the buckets; None if there is nothing."""
    if not any(durations):
        return None
    return round(quantile(BOUNDS_S, list(accumulate(durations)), 0.5) * 1000, 2)


def minute_of(seconds: float) -> datetime:
    """Return the minute of a time in seconds since the epoch."""
    return datetime.fromtimestamp(seconds - seconds % MINUTE_S, UTC)


def counted() -> dict[str, Counts]:
    """Return all attempts of this process, by job, since it started."""
    found: dict[str, Counts] = defaultdict(Counts)
    for labels, value in _samples("worker_jobs_total"):
        if column := OUTCOMES.get(labels["outcome"]):
            setattr(found[labels["job"]], column, int(value))
    cumulative: dict[str, list[float]] = defaultdict(list)
    for labels, value in _samples("worker_job_duration_seconds_bucket"):
        cumulative[labels["job"]].append(value)
    for job, counts in cumulative.items():
        before = [0.0, *counts[:-1]]
        found[job].durations = tuple(int(count - less) for count, less in zip(counts, before, strict=True))
    return found


def _samples(name: str) -> Iterator[tuple[dict[str, str], float]]:
    for metric in (metrics.JOBS, metrics.DURATION):
        for family in metric.collect():
            yield from ((sample.labels, sample.value) for sample in family.samples if sample.name == name)
