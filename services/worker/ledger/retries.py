"""Tries again what is due, and keeps the count of what is dead."""

import asyncio
from collections import Counter
from collections.abc import Iterable

from services.worker import metrics
from services.worker.ledger.job import CANCEL_S, Job
from services.worker.ledger.ledger import Ledger
from services.worker.ledger.sql import COUNT_DEAD, FIND_DUE
from shared.db.engine import Database
from shared.observability.logs import get_logger
from shared.server.background import to_the_end

log = get_logger(__name__)

MAX_GROUPS = 20
OTHER = "other"


def bounded(counts: Iterable[tuple[str, str, int]], limit: int = MAX_GROUPS) -> dict[tuple[str, str], int]:
    """Dead jobs by job and error group; of each job only the `limit` largest groups have a name."""
    named: Counter[str] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    for job, group, dead in sorted(counts, key=lambda row: row[2], reverse=True):
        named[job] += 1
        sums[job, group if named[job] <= limit else OTHER] += dead
    return dict(sums)


class Retries:
    def __init__(self, db: Database, ledger: Ledger, jobs: Iterable[Job], grace_s: float) -> None:
        self._db = db
        self._ledger = ledger
        self._jobs = {job.name: job for job in jobs}
        self._grace_s = grace_s
        self._stopping = False

    async def sweep(self) -> None:
        """Once. When it is cancelled, attempts that are under way may finish. Raises when the ledger cannot be read."""
        self._stopping = False
        sweep = asyncio.create_task(self._sweep())
        try:
            await asyncio.shield(sweep)
        except asyncio.CancelledError:
            self._stopping = True
            await to_the_end(self._finish(sweep))
            raise

    async def _finish(self, sweep: asyncio.Task[None]) -> None:
        await asyncio.wait([sweep], timeout=self._grace_s)
        sweep.cancel()
        await asyncio.wait([sweep], timeout=CANCEL_S)

    async def _sweep(self) -> None:
        metrics.SWEEPS.inc()
        async with self._db.connection() as connection:
            due = [row["job"] for row in await connection.fetch(FIND_DUE)]
            dead = [(row["job"], row["error_group"], row["dead"]) for row in await connection.fetch(COUNT_DEAD)]
        metrics.DEAD.clear()
        for labels, count in bounded(dead).items():
            metrics.DEAD.labels(*labels).set(count)
        await asyncio.gather(*(self._run_all_due(self._jobs[name]) for name in due if name in self._jobs))

    async def _run_all_due(self, job: Job) -> None:
        """Raises nothing: what keeps one job from being swept leaves the others alone."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(job.policy.concurrency):
                    tasks.create_task(self._run_due(job))
        except* Exception as failed:
            log.warning("what is due cannot be tried", job=job.name, errors=[repr(one) for one in failed.exceptions])

    async def _run_due(self, job: Job) -> None:
        while not self._stopping and await self._ledger.run_due(job):
            pass
