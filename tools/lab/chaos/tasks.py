"""The load of durable tasks: added in transactions of the users and orders databases, as a route of a service would.

Each transaction also records its task in `chaos_tasks`, so this table has the tasks that were committed, also those
whose commit was not confirmed. The connections do not pass through the links: tasks are added during their faults, too.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from shared.db.engine import create_engine, is_outage
from shared.outbox.tasks import DurableTasks
from tools.devstack.system.databases import execute
from tools.lab.chaos.journal import Journal
from tools.lab.chaos.record_run import RUNS, SCHEDULE, RecordRun

PRODUCERS = ("users", "orders")
TASKS = """
    CREATE TABLE chaos_tasks (
        id uuid NOT NULL, key text, due_at timestamptz, added_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""
REMEMBER = sa.text("INSERT INTO chaos_tasks (id, key, due_at) SELECT id, key, due_at FROM outbox WHERE id = :id")
PAUSE = f"UPDATE schedules SET paused = true, next_run = NULL WHERE name = '{SCHEDULE}'"
LONGEST_DELAY_S = 30.0
KEYS = ("a", "b", "c")
WITH_DELAY, WITH_KEY, ROLLED_BACK = 0.6, 0.3, 0.1
"""The shares of the tasks."""
TIMEOUT_S = 30.0
AT_ONCE = 5
"""Transactions in each database."""


class RolledBack(Exception):
    """A transaction is rolled back on purpose."""


def prepare(databases: Mapping[str, str]) -> None:
    """Create the tables of a run, and pause its schedule."""
    for name in PRODUCERS:
        execute(databases[name], TASKS)
    execute(databases["worker"], RUNS, "ALTER TABLE chaos_runs OWNER TO worker", PAUSE)


class TaskLoad:
    """Adds tasks at `rate` per second, and `in_burst` at once before each fault. None is due more than `seconds` after
    the beginning."""

    def __init__(
        self, databases: Mapping[str, str], journal: Journal, *, seed: int, rate: float, in_burst: int, seconds: float
    ) -> None:
        self._engines = [_engine(databases[name]) for name in PRODUCERS]
        self._journal = journal
        self._chance = random.Random(f"{seed}/tasks")
        self._rate = rate
        self._in_burst = in_burst
        self._ends_at = time.monotonic() + seconds
        self._adding: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Add tasks within the block; at its end, every transaction has ended."""
        steady = asyncio.create_task(self._run())
        try:
            yield
        finally:
            steady.cancel()
            with suppress(asyncio.CancelledError):
                await steady
            await asyncio.gather(*self._adding)
            for engine in self._engines:
                await engine.dispose()

    def burst(self) -> None:
        """Skip it if most of the previous burst is still waiting."""
        if len(self._adding) > self._in_burst:
            return
        for _ in range(self._in_burst):
            self._start()

    async def _run(self) -> None:
        while True:
            self._start()
            await asyncio.sleep(1 / self._rate)

    def _start(self) -> None:
        task = asyncio.create_task(self._add())
        self._adding.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.exception():  # otherwise it is raised at the end
            self._adding.discard(task)

    async def _add(self) -> None:
        """Add one task. The outcome of a failed commit is unknown."""
        engine, delay, key, is_kept = self._drawn()
        try:
            async with AsyncSession(engine) as session, session.begin():
                task_id = DurableTasks(session).add_task(RecordRun(), delay=delay, key=key)
                await session.flush()
                await session.execute(REMEMBER, {"id": task_id})
                if not is_kept:
                    raise RolledBack
        except RolledBack:
            self._journal.rolled_back.add(task_id)
        except Exception as error:
            if not is_outage(error):
                raise
        else:
            self._journal.tasks.add(task_id)

    def _drawn(self) -> tuple[AsyncEngine, timedelta | None, str | None, bool]:
        """Return where to add a task, its delay and its key, and whether to commit it."""
        chance = self._chance
        left_s = max(self._ends_at - time.monotonic(), 0.0)
        delay = timedelta(seconds=chance.uniform(0, min(LONGEST_DELAY_S, left_s)))
        return (
            chance.choice(self._engines),
            delay if chance.random() < WITH_DELAY else None,
            chance.choice(KEYS) if chance.random() < WITH_KEY else None,
            chance.random() >= ROLLED_BACK,
        )


def _engine(url: str) -> AsyncEngine:
    return create_engine(
        url,
        timeout=TIMEOUT_S,
        connection={"command_timeout": TIMEOUT_S},
        pool_size=AT_ONCE,
        max_overflow=0,
        pool_timeout=TIMEOUT_S,
        pool_pre_ping=True,
    )
