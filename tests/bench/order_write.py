"""What it costs to place an order: one statement through asyncpg, against the same through the ORM.

    python -m tests.bench.order_write postgresql://postgres@127.0.0.1:5432/postgres [--orders 2000]

Makes a database of its own there and drops it. Both ways take turns in one process, on one connection each, and write
the same order with three items and its outbox row. CPU is counted: of this process, and of the Postgres backend (from
its /proc/self/schedstat, hence a superuser's URL and a Linux server).
"""

import argparse
import asyncio
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.local.servers.sql import fetch
from services.orders import models, placing, service
from services.orders.schemas import NewOrder
from services.orders.settings import Settings
from shared import outbox
from shared.db import Database
from shared.migrations import migrate
from tests.backends.databases import create_database, drop_database

ROUND = 100
BODY = NewOrder.model_validate(
    {
        "currency": "EUR",
        "items": [
            {"sku": f"SKU-{number}", "name": f"An article, number {number}", "quantity": number, "unit_price": 1999}
            for number in (1, 2, 3)
        ],
    }
)
CPU = "SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint"


@dataclass
class Cost:
    python_s: float = 0
    postgres_s: float = 0


async def place_with_orm(session: AsyncSession, user_id: UUID) -> None:
    order = placing.draft(user_id, BODY)
    row = models.Order(**order.model_dump(exclude={"items"}), mail=True)
    row.items = [models.OrderItem(position=place, **item.model_dump()) for place, item in enumerate(order.items)]
    session.add(row)
    await session.flush()
    await outbox.add(session, placing.event_of(order, mail=True))


class Bench:
    """Both ways, and what each has cost."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.orm, self.statement = Cost(), Cost()

    async def run(self, orders: int) -> None:
        user_id = uuid4()

        async def with_orm() -> None:
            async with self._db.begin() as session:
                await place_with_orm(session, user_id)

        async def with_statement() -> None:
            async with self._db.connection() as connection:
                await service.place(connection, user_id, BODY)

        async def orm_cpu() -> float:
            async with self._db.begin() as session:
                return float((await session.execute(sa.text(CPU))).scalar_one()) / 1e9

        async def statement_cpu() -> float:
            async with self._db.connection() as connection:
                return float(await connection.fetchval(CPU)) / 1e9

        for number in range(orders // ROUND + 1):
            warm_up = number == 0
            await self._measure(with_orm, orm_cpu, Cost() if warm_up else self.orm)
            await self._measure(with_statement, statement_cpu, Cost() if warm_up else self.statement)

    async def _measure(
        self, place: Callable[[], Awaitable[None]], postgres_cpu: Callable[[], Awaitable[float]], cost: Cost
    ) -> None:
        postgres, python = await postgres_cpu(), time.process_time()
        for _ in range(ROUND):
            await place()
        cost.python_s += time.process_time() - python
        cost.postgres_s += await postgres_cpu() - postgres


def report(bench: Bench, orders: int, server: str) -> str:
    def row(name: str, cost: Cost) -> str:
        python, postgres = (seconds / orders * 1e6 for seconds in (cost.python_s, cost.postgres_s))
        return f"| {name} | {python:.0f} | {postgres:.0f} | {python + postgres:.0f} |"

    orm, ours = bench.orm, bench.statement
    total = (ours.python_s + ours.postgres_s) / (orm.python_s + orm.postgres_s)
    return "\n".join(
        (
            f"{orders} orders each, 3 items and an outbox row, taking turns every {ROUND}; CPU µs an order.",
            f"Python {platform.python_version()}, PostgreSQL {server}, {platform.machine()}.",
            "",
            "| way | Python | Postgres | both |",
            "|---|---|---|---|",
            row("ORM", orm),
            row("one statement", ours),
            f"| ratio | {ours.python_s / orm.python_s:.2f} | {ours.postgres_s / orm.postgres_s:.2f} | {total:.2f} |",
        )
    )


async def measure(url: str, orders: int) -> Bench:
    settings = Settings(environment="development", database_url=url, rabbitmq_url="amqp://unused", pool_size=1)
    async with Database.open(settings) as db:
        bench = Bench(db)
        await bench.run(orders)
        return bench


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU of placing an order")
    parser.add_argument("url")
    parser.add_argument("--orders", type=int, default=2000)
    arguments = parser.parse_args()
    name = f"bench_{uuid4().hex[:12]}"
    url = create_database(arguments.url, name)
    try:
        migrate("orders", url)
        bench = asyncio.run(measure(url, arguments.orders))
        server = fetch(url, "SHOW server_version")[0][0]
    finally:
        drop_database(arguments.url, name)
    print(report(bench, arguments.orders, server))  # noqa: T201  what the script is for


if __name__ == "__main__":
    main()
