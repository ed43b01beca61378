"""An analytics event with its idempotent effect: our worker, and task frameworks on the same queue type and tables."""

import asyncio
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import asyncpg

from tools.devstack.system.processes import Child
from tools.lab.bench import cpu, queueing
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.queueing import Place
from tools.lab.bench.report import Report, ratios, spread, table

NAME = "worker"
EVENTS, FEW = 12_000, 200
STARTED = 0.25
"""The share of the events after which counting begins; by then every process has started."""
WITHIN_S = 240
OURS, PLAIN, ONE = "ours", "FastStream, one transaction per event", "FastStream, one statement per event"
TABLES = ("jobs", "user_rollups", "user_status_rollups", "user_currency_rollups", "daily_rollups")
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class ConsumerStopped(Exception):
    """A consumer ended or made no progress; the message has the end of its log."""


@dataclass(frozen=True)
class Cost:
    """CPU µs per event, and events per second."""

    python: float
    postgres: float
    rate: float


@dataclass(frozen=True)
class Consumer:
    """How a queue is filled, and the process that consumes it."""

    name: str
    fill: Callable[[Place, int], None]
    start: Callable[[Bed, Place], Child]
    package: str = "faststream"


def run(bed: Bed, scale: Scale) -> Report:
    compared = CONSUMERS if scale.peers else [one for one in CONSUMERS if one.name in (OURS, PLAIN)]
    absent = [one.name for one in compared if not find_spec(one.package)]
    present = [one for one in compared if one.name not in absent]
    count = FEW if scale.small else EVENTS
    packages = ("aio-pika", "faststream", "celery", "dramatiq", "taskiq", "taskiq-aio-pika", "asyncpg", "psycopg")
    conditions = Conditions(scale, versions(*packages), f"here a window is {count} events, quorum queues, fsync off")
    costs: dict[str, list[Cost]] = defaultdict(list)
    with queueing.place(bed, "worker") as place:
        for _ in range(scale.rounds):
            for one in present:
                costs[one.name].append(measure(bed, place, one, count))
    report = Report(NAME)
    report.add(conditions.tell(), _table(costs), "Ratios, round by round:", _ratios(costs))
    report.add(*(f"Not measured: {name}, which is not installed (`uv sync --group bench`)." for name in absent))
    return report


def measure(bed: Bed, place: Place, one: Consumer, count: int) -> Cost:
    """Fill the queue, start the consumer, and count from `STARTED` until everything is done."""
    one.fill(place, count)
    child = one.start(bed, place)
    try:
        return asyncio.run(_measured(place, child, count))
    finally:
        bed.end(child)
        asyncio.run(_empty(place))


async def _measured(place: Place, child: Child, count: int) -> Cost:
    connection = await asyncpg.connect(place.database_url)
    try:
        done, began, python, postgres = await _sample(connection, child, round(count * STARTED))
        all_done, ended, python_end, postgres_end = await _sample(connection, child, count)
    finally:
        await connection.close()
    between = max(1, all_done - done)
    each = 1e6 / between
    return Cost((python_end - python) * each, (postgres_end - postgres) * each, between / (ended - began))


async def _sample(connection: asyncpg.Connection, child: Child, least: int) -> tuple[int, float, float, float]:
    """Return a sample as soon as this many events are done: their number, the time, and the CPU of the consumer and of
    its backends."""
    ends = time.monotonic() + WITHIN_S
    while (done := await connection.fetchval("SELECT count(*) FROM jobs WHERE state = 'done'")) < least:
        if not child.alive() or time.monotonic() > ends:
            raise ConsumerStopped(f"{child.name} at {done} of {least}: {child.log.read_text()[-2000:]}")
        await asyncio.sleep(0.02)
    backends = [row["pid"] for row in await connection.fetch(BACKENDS)]
    return done, time.monotonic(), cpu.seconds([child.pid]), cpu.seconds(backends)


async def _empty(place: Place) -> None:
    connection = await asyncpg.connect(place.database_url)
    try:
        await connection.execute(f"TRUNCATE {', '.join(TABLES)}")
    finally:
        await connection.close()


def _environment(place: Place) -> dict[str, str]:
    return {"BENCH_DATABASE_URL": place.database_url, "BENCH_RABBITMQ_URL": place.rabbitmq_url}


def _publish(module: str, place: Place, count: int) -> None:
    command = cpu.pinned(cpu.OTHER_CORE, sys.executable, "-m", f"tools.lab.bench.peers.{module}", "publish", str(count))
    subprocess.run(command, env=os.environ | _environment(place), check=True, timeout=WITHIN_S)


def _peer(name: str, package: str, module: str, *command: str) -> Consumer:
    def start(bed: Bed, place: Place) -> Child:
        return bed.python(package, "-m", *command, env=_environment(place))

    return Consumer(name, partial(_publish, module), start, package)


_CELERY = ("celery", "-A", "tools.lab.bench.peers.celery_tasks", "worker", "-c", "2", "-P", "prefork", "-l", "ERROR")
CONSUMERS = (
    Consumer(
        OURS,
        lambda place, count: queueing.fill_analytics(place.rabbitmq_url, count),
        lambda bed, place: queueing.serve(bed, "worker", place),
    ),
    _peer(PLAIN, "faststream", "faststream_tasks", "tools.lab.bench.peers.faststream_tasks", "plain"),
    _peer(ONE, "faststream", "faststream_tasks", "tools.lab.bench.peers.faststream_tasks", "consume"),
    _peer("Celery", "celery", "celery_tasks", *_CELERY, "--without-gossip", "--without-mingle", "--without-heartbeat"),
    _peer(
        "Dramatiq",
        "dramatiq",
        "dramatiq_tasks",
        "dramatiq",
        "-p",
        "1",
        "-t",
        "4",
        "tools.lab.bench.peers.dramatiq_tasks",
    ),
    _peer(
        *("Taskiq", "taskiq", "taskiq_tasks", "taskiq", "worker", "--workers", "1", "--max-async-tasks", "100"),
        *("--ack-type", "when_executed", "--log-level", "ERROR", "tools.lab.bench.peers.taskiq_tasks:broker"),
    ),
)


def _table(costs: dict[str, list[Cost]]) -> str:
    rows = [
        [
            name,
            spread([cost.python for cost in found]).show(),
            spread([cost.postgres for cost in found]).show(),
            spread([cost.rate for cost in found]).show(),
        ]
        for name, found in costs.items()
    ]
    return table(["", "Python, µs per event", "Postgres, µs per event", "events/s"], rows)


def _ratios(costs: dict[str, list[Cost]]) -> str:
    def row(other: str, target: Sequence[str]) -> list[str]:
        ours, theirs = costs[OURS], costs[other]
        python = ratios([cost.python for cost in ours], [cost.python for cost in theirs])
        postgres = ratios([cost.postgres for cost in ours], [cost.postgres for cost in theirs])
        return [f"{OURS} / {other}", python.show(2), postgres.show(2), *target]

    targets = {PLAIN: ("≤ 0.25", "≤ 0.10")}
    head = ["", "Python", "Postgres", "target Python", "target Postgres"]
    return table(head, [row(name, targets.get(name, ("", ""))) for name in costs if name != OURS])
