"""Delayed tasks: how exactly they start, and what a million waiting ones cost.

There are two workers, each with its own database and its own queues: one has nothing else to do, the ledger of the
other one has a million tasks that are due in a month. Each gets the same tasks at the same time.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from shared.clock import now
from shared.db.engine import create_engine
from shared.outbox.tasks import DurableTasks
from tools.devstack.system.processes import Child
from tools.lab.bench import cpu, queueing
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.peers.waiting import JOB, JOBS_MODULE, BenchWait
from tools.lab.bench.report import Report, ratios, spread, table
from tools.lab.bench.system import quantile
from tools.lab.bench.worker import BACKENDS

NAME = "delays"
EMPTY, FULL = "no task waits", "{:,} tasks wait"
WAITING, FEW_WAITING = 1_000_000, 2_000
DELAYED, FEW_DELAYED = 500, 10
SPREAD_S, FEW_SPREAD_S = 60.0, 1.0
"""The delayed tasks are due within this time, in random order."""
LEAD_S = 2.0
"""The shortest delay: all tasks are stored before the first is due."""
SINGLE, FEW_SINGLE = 50, 5
IDLE_S = 20.0
"""The length of a window without any work."""
FAR = timedelta(days=30)
BETWEEN_S = 0.1
WITHIN_S = 300.0
TARGET_START_MS = 15

FILL = """
    INSERT INTO jobs (job, event_id, event_type, state, attempts, payload, headers, next_attempt_at)
    SELECT $1, gen_random_uuid(), $2, 'scheduled', 0, '{}'::bytea, $3, now() + $4::interval * (1 + random())
    FROM generate_series(1, $5::int)
"""
# Workers of a parallel scan are other processes, whose CPU time would not be counted.
NOT_PARALLEL = """
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET max_parallel_workers_per_gather = 0', current_database());
    END $$
"""
HEADERS = '{"type": "task.bench_wait", "dataschema": "urn:dashboard:task:bench_wait:1"}'
FIND_STARTS = "SELECT event_id, started_at FROM job_attempts WHERE job = $1 AND event_id = ANY($2) AND outcome = 'done'"
FIND_STORED = "SELECT true FROM jobs WHERE job = $1 AND event_id = $2"


@dataclass
class Costs:
    """One value for each round or task. CPU in ms per minute, other times in ms."""

    python: list[float] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    stored: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """One worker with its database."""

    url: str
    child: Child
    connection: asyncpg.Connection
    session: Callable[[], AsyncSession]
    costs: Costs

    async def add(self, *, delay: timedelta | None = None, at: datetime | None = None) -> UUID:
        async with self.session() as session, session.begin():
            return DurableTasks(session).add_task(BenchWait(), delay=delay, at=at)

    async def starts(self, ids: Sequence[UUID]) -> dict[UUID, datetime]:
        """Return when each of these tasks started, once all have."""
        async with asyncio.timeout(WITHIN_S):
            while len(rows := await self.connection.fetch(FIND_STARTS, JOB, ids)) < len(ids):  # noqa: ASYNC110  it is a table
                await asyncio.sleep(BETWEEN_S)
        return {row["event_id"]: row["started_at"] for row in rows}


def run(bed: Bed, scale: Scale) -> Report:
    waiting = FEW_WAITING if scale.small else WAITING
    names = (EMPTY, FULL.format(waiting))
    idle_s = scale.window_s if scale.small else IDLE_S
    conditions = Conditions(
        scale, versions("asyncpg", "aio-pika"), f"a window without work is {idle_s:g} s; quorum queues, fsync off"
    )
    with ExitStack() as stack:
        places = [stack.enter_context(queueing.place(bed, "worker")) for _ in names]
        asyncio.run(_fill(places[1].database_url, waiting))
        children = [queueing.serve(bed, "worker", place, WORKER_JOBS=JOBS_MODULE) for place in places]
        urls = [place.database_url for place in places]
        costs = asyncio.run(_measure(urls, children, scale, idle_s))
        bed.end(*children)
    report = Report(NAME)
    report.add(conditions.tell(), _table(names, costs))
    return report


async def _fill(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(NOT_PARALLEL)
        await connection.execute(FILL, JOB, BenchWait.type, HEADERS, FAR, count)
        await connection.execute("VACUUM ANALYZE jobs")
    finally:
        await connection.close()


async def _measure(urls: Sequence[str], children: Sequence[Child], scale: Scale, idle_s: float) -> list[Costs]:
    delayed, single = (FEW_DELAYED, FEW_SINGLE) if scale.small else (DELAYED, SINGLE)
    async with _place(urls[0], children[0]) as empty, _place(urls[1], children[1]) as full:
        places = (empty, full)
        for place in places:
            await place.starts([await place.add()])  # by then the worker has its connections
        for _ in range(scale.rounds):
            await _idle(places, idle_s)
        await _start_one_by_one(places, single)
        await _store_one_by_one(places, single)
        await _start_delayed(places, delayed, FEW_SPREAD_S if scale.small else SPREAD_S)
        return [place.costs for place in places]


@asynccontextmanager
async def _place(url: str, child: Child) -> AsyncIterator[Place]:
    engine = create_engine(url, timeout=WITHIN_S)
    connection = await asyncpg.connect(url)
    try:
        yield Place(url, child, connection, lambda: AsyncSession(engine), Costs())
    finally:
        await connection.close()
        await engine.dispose()


async def _idle(places: Sequence[Place], idle_s: float) -> None:
    """Measure one window without work in all places at once."""
    backends = [[row["pid"] for row in await place.connection.fetch(BACKENDS)] for place in places]
    before = [_used(place, pids) for place, pids in zip(places, backends, strict=True)]
    began = time.monotonic()
    await asyncio.sleep(idle_s)
    after = [_used(place, pids) for place, pids in zip(places, backends, strict=True)]
    per_minute = 60_000 / (time.monotonic() - began)
    for place, first, last in zip(places, before, after, strict=True):
        place.costs.python.append((last[0] - first[0]) * per_minute)
        place.costs.postgres.append((last[1] - first[1]) * per_minute)


def _used(place: Place, backends: Sequence[int]) -> tuple[float, float]:
    return cpu.seconds([place.child.pid]), cpu.seconds(backends)


async def _start_one_by_one(places: Sequence[Place], count: int) -> None:
    """Measure the time from the commit of a task without a delay until its job starts."""
    for _ in range(count):
        for place in places:
            task_id = await place.add()
            committed = now()
            starts = await place.starts([task_id])
            place.costs.started.append(_ms(starts[task_id] - committed))


async def _store_one_by_one(places: Sequence[Place], count: int) -> None:
    """Measure the time from the begin of the transaction that adds a delayed task until the ledger has the task."""
    for _ in range(count):
        for place in places:
            began = time.monotonic()
            task_id = await place.add(delay=FAR)
            async with asyncio.timeout(WITHIN_S):
                while not await place.connection.fetchval(FIND_STORED, JOB, task_id):  # noqa: ASYNC110  it is a table
                    await asyncio.sleep(0.001)
            place.costs.stored.append((time.monotonic() - began) * 1000)


async def _start_delayed(places: Sequence[Place], count: int, spread_s: float) -> None:
    """Measure how long after their due times tasks start. Their order is mixed: a step of 7 visits each slot once."""
    begins = now() + timedelta(seconds=LEAD_S + count * len(places) / 100)
    due: list[dict[UUID, datetime]] = [{} for _ in places]
    for number in range(count):
        at = begins + timedelta(seconds=number * 7 % count * spread_s / count)
        for place, known in zip(places, due, strict=True):
            known[await place.add(at=at)] = at
    for place, known in zip(places, due, strict=True):
        starts = await place.starts(list(known))
        place.costs.late += [_ms(starts[task_id] - at) for task_id, at in known.items()]


def _ms(duration: timedelta) -> float:
    return duration.total_seconds() * 1000


def _table(names: Sequence[str], costs: Sequence[Costs]) -> str:
    empty, full = costs
    rows = [
        _ratio_row("worker, CPU ms per minute idle", empty.python, full.python),
        _ratio_row("Postgres, CPU ms per minute idle", empty.postgres, full.postgres),
        _ratio_row("from adding a delayed task until it is in the ledger, ms", empty.stored, full.stored),
        [f"from the commit of a task to its start, p50 ms; target ≤ {TARGET_START_MS}", *_each(costs, _started), ""],
        ["start after the due time, p50 / p95 / p99 ms", *_each(costs, _late), ""],
    ]
    return table(["", *names, "ratio"], rows)


def _ratio_row(name: str, empty: Sequence[float], full: Sequence[float]) -> list[str]:
    return [name, spread(empty).show(), spread(full).show(), ratios(full, empty).show(2)]


def _each(costs: Sequence[Costs], show: Callable[[Costs], str]) -> list[str]:
    return [show(one) for one in costs]


def _started(costs: Costs) -> str:
    return f"{quantile(costs.started, 0.5):.1f}"


def _late(costs: Costs) -> str:
    return " / ".join(f"{quantile(costs.late, share):.1f}" for share in (0.5, 0.95, 0.99))
