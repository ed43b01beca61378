"""The retry loop: runs the jobs that are due in the ledger, and counts dead ones."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable

from services.worker import metrics
from services.worker.ledger.job import CANCEL_S, Job
from services.worker.ledger.ledger import Ledger
from services.worker.ledger.schedules import Schedules
from services.worker.ledger.sql import COUNT_DEAD, FIND_DUE
from shared.db.engine import Database
from shared.observability.logs import get_logger
from shared.server.background import to_the_end

log = get_logger(__name__)

MAX_GROUPS = 20
OTHER = "other"
TURN_S = 0.05
"""The minimum pause while jobs wait for the rate of their job."""


def bounded(counts: Iterable[tuple[str, str, int]], limit: int = MAX_GROUPS) -> dict[tuple[str, str], int]:
    """Dead jobs by job and error group; only the `limit` largest groups of each job are named."""
    named: Counter[str] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    for job, group, dead in sorted(counts, key=lambda row: row[2], reverse=True):
        named[job] += 1
        sums[job, group if named[job] <= limit else OTHER] += dead
    return dict(sums)


class Retries:
    """Searches the ledger whenever a row is due, and at least every `interval_s`."""

    def __init__(
        self,
        db: Database,
        ledger: Ledger,
        jobs: Iterable[Job],
        grace_s: float,
        interval_s: float,
    ) -> None:
        self._db = db
        self._ledger = ledger
        self._jobs = {job.name: job for job in jobs}
        self._schedules = Schedules(db, self._jobs.values())
        self._grace_s = grace_s
        self._interval_s = interval_s
        self._running: dict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._stopping = False
        self._counted_at = -interval_s

    async def run(self) -> None:
        """Run until cancelled; attempts in flight then may finish. Raises if the ledger cannot be read."""
        self._stopping = False
        try:
            while True:
                await self._sweep()
                await self._ledger.alarm.wait()
        except asyncio.CancelledError:
            self._stopping = True
            await to_the_end(self._finish())
            raise

    async def _finish(self) -> None:
        for limit_s in (self._grace_s, CANCEL_S):
            if tasks := set[asyncio.Task[None]]().union(*self._running.values()):
                await asyncio.wait(tasks, timeout=limit_s)
                for task in tasks:
                    task.cancel()

    async def _sweep(self) -> None:
        metrics.SWEEPS.inc()
        alarm = self._ledger.alarm
        alarm.set(self._interval_s)
        next_tick_s = await self._schedules.tick()
        if next_tick_s is not None:
            alarm.set(next_tick_s)
        await self._count_dead()
        async with self._db.connection() as connection:
            found = await connection.fetch(FIND_DUE, list(self._jobs))
        for row in found:
            if row["next_s"] is not None:
                alarm.set(row["next_s"])
            if row["due"]:
                job = self._jobs[row["job"]]
                if job.rate_per_s:
                    alarm.set(max(row["turn_s"] or 0.0, TURN_S))
                self._start(job)

    async def _count_dead(self) -> None:
        if time.monotonic() - self._counted_at < self._interval_s:
            return
        async with self._db.connection() as connection:
            dead = [(row["job"], row["error_group"], row["dead"]) for row in await connection.fetch(COUNT_DEAD)]
        metrics.DEAD.clear()
        for labels, count in bounded(dead).items():
            metrics.DEAD.labels(*labels).set(count)
        self._counted_at = time.monotonic()

    def _start(self, job: Job) -> None:
        """Run due rows of this job, as many at once as it may. A long attempt does not delay other rows or jobs."""
        running = self._running[job.name]
        for _ in range(job.policy.concurrency - len(running)):
            task = asyncio.create_task(self._run_due(job))
            running.add(task)
            task.add_done_callback(running.discard)

    async def _run_due(self, job: Job) -> None:
        """Raises nothing, so that a failure of one job does not affect the others."""
        try:
            while not self._stopping and await self._ledger.run_due(job):
                pass
        except Exception as error:
            log.warning("due jobs cannot be run", job=job.name, error=repr(error))
