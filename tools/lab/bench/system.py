"""The whole system on one machine: dashboards with growing tables, users with many orders, and the path of an event."""

import asyncio
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from shared.http.tokens import UserTokens
from tests.support.stack.running import Person, Stack
from tests.support.waiting import wait_until
from tools.devstack.system.ports import free_port
from tools.lab.bench import cpu, wrk
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.population import Databases, populate
from tools.lab.bench.report import Report, ratios, spread, table

NAME = "system"
ORDERS_EACH = 10
SIZES, SMALL_SIZES = (1_000, 100_000, 1_000_000), (200,)
ASKED = 1000
"""The number of users whose dashboards are requested."""
CALLERS = 32
MANY, FEW, RICH_USERS = 10_000, 10, 50
ORDERS_PLACED = 60
PROCESSES = ("gateway", "users", "orders", "worker", "postgres", "redis")
JOBS = ("analytics", "notifications", "email")
BETWEEN_ORDERS_S = 0.1
WITHIN_S = 30
STARTED = """
    SELECT job, created_at FROM jobs WHERE user_id = $1 AND event_type = 'order.created' AND job = ANY($2)
    ORDER BY event_id
"""


@dataclass(frozen=True)
class Window:
    """CPU µs per dashboard, by process."""

    cpu_us: Mapping[str, float]
    load: wrk.Load

    @property
    def whole(self) -> float:
        return sum(self.cpu_us.values())


@dataclass(frozen=True)
class System:
    stack: Stack
    databases: Databases
    person: Person
    tokens: UserTokens
    issued: dict[UUID, str] = field(default_factory=dict)

    def ask(self, ids: Sequence[UUID], seconds: float, callers: int = CALLERS) -> Window:
        """Request each user's own dashboard. An operator's request for it would write an audit entry."""
        requests = [wrk.Request("/v1/dashboard", self._headers(user_id)) for user_id in ids]
        before = self.cpu()
        load = wrk.run(self.stack.url, requests, callers, seconds)
        used = {name: value - before[name] for name, value in self.cpu().items()}
        return Window({name: value / max(1, load.requests) * 1e6 for name, value in used.items()}, load)

    def _headers(self, user_id: UUID) -> dict[str, str]:
        token = self.issued.get(user_id) or self.tokens.issue(user_id, uuid4(), "user")
        self.issued[user_id] = token  # the gateway verifies each once
        return {"Authorization": f"Bearer {token}", "Cache-Control": "no-cache"}

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of the processes so far, by name."""
        return {name: cpu.seconds(self.stack.pids(name)) for name in PROCESSES}


def run(bed: Bed, scale: Scale) -> Report:
    conditions = Conditions(scale, versions(), f"{CALLERS} callers; nothing pinned but the load; fsync on")
    report = Report(NAME)
    with running(bed) as system:
        starts = job_starts(system, 3 if scale.small else ORDERS_PLACED)
        rich = many_against_few(system, scale)
        sizes = by_size(system, scale)
    report.add(conditions.tell(), *_size_tables(sizes), _rich_table(rich), _start_table(starts))
    return report


@contextmanager
def running(bed: Bed) -> Iterator[System]:
    """Run a separate stack, with its own servers and a signed-in person."""
    folder = bed.folder / "stack"
    stack = Stack(folder, bed.folder / "up.log")
    command = ["-m", "tools.cli.main", "up", "--no-demo", "--port", str(free_port()), "--data-dir", str(folder)]
    env = {**os.environ, "TRACE_SAMPLE": "0.01"}  # as in production; the default of the stack is to record everything
    child = bed.processes.spawn("up", [sys.executable, *command], log=stack.log, env=env)
    wait_until(lambda: stack.up() or not child.alive(), within=300)
    if not child.alive():
        raise ChildProcessError(stack.log.read_text()[-2000:])
    try:
        databases = Databases.of(stack.info)
        person = Person(stack)
        yield System(stack, databases, person, UserTokens([_signing_key(folder)], ttl_s=3600))
        person.http.close()
    finally:
        child.end(20)


def _signing_key(folder: Path) -> str:
    """Return the signing key of the stack's users service."""
    lines = (folder / "secrets.env").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("USERS_SIGNING_KEYS="))


def by_size(system: System, scale: Scale) -> dict[int, list[Window]]:
    """Measure with this many orders in total, ten per user."""
    found: dict[int, list[Window]] = {}
    ids: list[UUID] = []
    for size in SMALL_SIZES if scale.small else SIZES:
        new = [uuid4() for _ in range(size // ORDERS_EACH - len(ids))]
        asyncio.run(populate(system.databases, new, ORDERS_EACH))
        ids += new
        asked = random.sample(ids, min(ASKED, len(ids)))
        for _ in range(2):
            system.ask(asked, scale.warm_up_s or 1)
        found[size] = [system.ask(asked, scale.window_s) for _ in range(scale.rounds)]
    return found


def many_against_few(system: System, scale: Scale) -> dict[int, list[Window]]:
    """Compare dashboards of users with many orders and of users with few, in turns."""
    users = 2 if scale.small else RICH_USERS
    groups = {FEW: [uuid4() for _ in range(users)], MANY: [uuid4() for _ in range(users)]}
    for orders, ids in groups.items():
        asyncio.run(populate(system.databases, ids, orders))
        system.ask(ids, scale.warm_up_s or 1)
    found: dict[int, list[Window]] = {FEW: [], MANY: []}
    for _ in range(scale.rounds):
        for orders, ids in groups.items():
            found[orders].append(system.ask(ids, scale.window_s, callers=8))
    return found


def job_starts(system: System, orders: int) -> dict[str, list[float]]:
    """Return the milliseconds from an order's creation to the start of each job's transaction, one order at a time."""
    return asyncio.run(_job_starts(system, orders))


async def _job_starts(system: System, orders: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {job: [] for job in JOBS}
    connection = await asyncpg.connect(system.databases.worker)
    try:
        for number in range(1, orders + 1):
            placed = datetime.fromisoformat(system.person.order()["created_at"])
            rows = await _started(connection, UUID(system.person.id), number)
            for job, started in rows[-len(JOBS) :]:
                found[job].append((started - placed).total_seconds() * 1000)
            await asyncio.sleep(BETWEEN_ORDERS_S)
    finally:
        await connection.close()
    return found


async def _started(connection: asyncpg.Connection, user_id: UUID, orders: int) -> list[tuple[str, datetime]]:
    """Return when each job of this many orders started, once all have."""
    async with asyncio.timeout(WITHIN_S):
        while len(rows := await connection.fetch(STARTED, user_id, JOBS)) < orders * len(JOBS):  # noqa: ASYNC110  it is a table
            await asyncio.sleep(0.05)
    return [(row["job"], row["created_at"]) for row in rows]


def _size_tables(sizes: Mapping[int, Sequence[Window]]) -> Iterator[str]:
    yield f"Uncached dashboards by total number of orders, {ORDERS_EACH} per user; CPU µs per dashboard by process:"
    head = ["orders", "dashboards/s", "p50 ms", "p99 ms", *PROCESSES, "all", "failed"]
    yield table(head, [_row(f"{size:,}", windows) for size, windows in sizes.items()])


def _rich_table(rich: Mapping[int, Sequence[Window]]) -> str:
    head = ["orders of the user", "dashboards/s", "p50 ms", "p99 ms", *PROCESSES, "all", "failed"]
    ratio = ratios([window.whole for window in rich[MANY]], [window.whole for window in rich[FEW]])
    return (
        "Users with many orders against users with few, taking turns; CPU µs per dashboard by process:\n\n"
        + table(head, [_row(f"{orders:,}", windows) for orders, windows in rich.items()])
        + f"\n\nRatio of all CPU: {ratio.show(2)}, target ≤ 1.3."
    )


def _row(name: str, windows: Sequence[Window]) -> list[str]:
    return [
        name,
        spread([window.load.rate for window in windows]).show(),
        spread([window.load.p50 for window in windows]).show(1),
        spread([window.load.p99 for window in windows]).show(1),
        *(spread([window.cpu_us[process] for window in windows]).show() for process in PROCESSES),
        spread([window.whole for window in windows]).show(),
        str(sum(window.load.failures for window in windows)),
    ]


def _start_table(starts: Mapping[str, Sequence[float]]) -> str:
    rows = [
        [job, f"{quantile(found, 0.5):.1f}", f"{quantile(found, 0.95):.1f}", spread(found).show(1), str(len(found))]
        for job, found in starts.items()
    ]
    return (
        "An order's way to its jobs on an idle system: ms from the order's creation, before its commit, to the begin of"
        " the job's transaction; target p50 ≤ 15:\n\n"
        + table(["job", "p50", "p95", "median (lowest–highest)", "orders"], rows)  # noqa: RUF001
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]
