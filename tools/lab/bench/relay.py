"""The throughput of the outbox relay: rows per second, and CPU per row of the process and of Postgres."""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from shared.outbox import outbox
from tools.devstack.system.processes import Child
from tools.lab.bench import cpu, queueing
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.peers.effect import USERS
from tools.lab.bench.report import Report, spread, table
from tools.lab.bench.worker import BACKENDS, Cost

NAME = "relay"
ROWS, FEW = 10_000, 400
WARM_UP_ROWS = 200
WITHIN_S = 120


def run(bed: Bed, scale: Scale) -> Report:
    rows = FEW if scale.small else ROWS
    conditions = Conditions(scale, versions("aio-pika"), f"here a window is {rows} rows, quorum queues, fsync off")
    with queueing.place(bed, "orders") as place:
        child = queueing.serve(bed, "orders", place)
        costs = asyncio.run(_measure(place.database_url, child, rows, scale.rounds))
        bed.end(child)
    report = Report(NAME)
    report.add(conditions.tell(), _table(costs))
    return report


async def _measure(url: str, child: Child, rows: int, rounds: int) -> list[Cost]:
    connection = await asyncpg.connect(url)
    try:
        await _emptied(connection, WARM_UP_ROWS, child)
        return [await _emptied(connection, rows, child) for _ in range(rounds)]
    finally:
        await connection.close()


async def _emptied(connection: asyncpg.Connection, rows: int, child: Child) -> Cost:
    """Return the seconds from the commit of the rows until the outbox is empty."""
    users = [UUID(user) for user in USERS]
    values = [outbox.row(queueing.created(users[number % len(users)])) for number in range(rows)]
    backends = [row["pid"] for row in await connection.fetch(BACKENDS)]
    python, postgres = cpu.seconds([child.pid]), cpu.seconds(backends)
    async with connection.transaction():
        await connection.executemany(outbox.INSERT, values)
    inserted = time.monotonic()
    async with asyncio.timeout(WITHIN_S):
        while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):  # noqa: ASYNC110  it is a table
            await asyncio.sleep(0.02)
    each = 1e6 / rows
    took = time.monotonic() - inserted
    return Cost((cpu.seconds([child.pid]) - python) * each, (cpu.seconds(backends) - postgres) * each, rows / took)


def _table(costs: Sequence[Cost]) -> str:
    row = [
        spread([cost.rate for cost in costs]).show(),
        spread([cost.python for cost in costs]).show(),
        spread([cost.postgres for cost in costs]).show(),
    ]
    return table(["rows/s", "Python, µs per row", "Postgres, µs per row"], [row])
