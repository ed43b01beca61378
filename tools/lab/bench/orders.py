"""The cost of placing an order: one statement through asyncpg, against the same through the ORM.

Both ways take turns in one process, on one connection each, and write the same order with three items and its outbox
row. The cost is the CPU of this process, and of the Postgres backend (from its /proc/self/schedstat).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.orders import models, service
from services.orders.schemas import NewOrder
from services.orders.settings import Settings
from shared.db.engine import Database
from shared.db.migrations import migrate
from shared.outbox import outbox
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.report import Report, Spread, ratios, spread, table

NAME = "orders"
ROUND, ROUNDS = 100, 20
TARGET = "≤ 0.20"
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
    """CPU µs per order, one value for each round."""

    python: list[float] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)

    @property
    def both(self) -> list[float]:
        return [sum(pair) for pair in zip(self.python, self.postgres, strict=True)]


async def place_with_orm(session: AsyncSession, user_id: UUID) -> None:
    order = service.draft(user_id, BODY)
    row = models.Order(**order.model_dump(exclude={"items"}), mail=True)
    row.items = [models.OrderItem(position=place, **item.model_dump()) for place, item in enumerate(order.items)]
    session.add(row)
    await session.flush()
    await outbox.add(session, service.event_of(order, mail=True))


class Bench:
    """Both ways, and their costs."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.orm, self.statement = Cost(), Cost()

    async def run(self, rounds: int) -> None:
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

        for number in range(rounds + 1):
            warm_up = number == 0
            await self._measure(with_orm, orm_cpu, Cost() if warm_up else self.orm)
            await self._measure(with_statement, statement_cpu, Cost() if warm_up else self.statement)

    async def _measure(
        self, place: Callable[[], Awaitable[None]], postgres_cpu: Callable[[], Awaitable[float]], cost: Cost
    ) -> None:
        postgres, python = await postgres_cpu(), time.process_time()
        for _ in range(ROUND):
            await place()
        cost.python.append((time.process_time() - python) / ROUND * 1e6)
        cost.postgres.append((await postgres_cpu() - postgres) / ROUND * 1e6)


async def measure(url: str, rounds: int) -> Bench:
    settings = Settings(environment="development", database_url=url, rabbitmq_url="amqp://unused", pool_size=1)
    async with Database.open(settings) as db:
        bench = Bench(db)
        await bench.run(rounds)
        return bench


def run(bed: Bed, scale: Scale) -> Report:
    name = f"bench_{uuid4().hex[:12]}"
    url = bed.backends.postgres.create_database(name)
    conditions = Conditions(scale, versions("asyncpg", "sqlalchemy"), f"rounds here: {ROUND} orders each way")
    try:
        migrate("orders", url)
        bench = asyncio.run(measure(url, 1 if scale.small else ROUNDS))
    finally:
        bed.backends.postgres.drop_database(name)
    report = Report(NAME)
    report.add(conditions.tell(), "CPU µs per order with three items and its outbox row:", _table(bench))
    return report


def _table(bench: Bench) -> str:
    orm, ours = bench.orm, bench.statement

    def row(name: str, spreads: list[Spread], digits: int, target: str = "") -> list[str]:
        return [name, *(each.show(digits) for each in spreads), target]

    return table(
        ["way", "Python", "Postgres", "both", "target"],
        [
            row("ORM", [spread(orm.python), spread(orm.postgres), spread(orm.both)], 0),
            row("one statement", [spread(ours.python), spread(ours.postgres), spread(ours.both)], 0),
            row(
                "ratio",
                [ratios(ours.python, orm.python), ratios(ours.postgres, orm.postgres), ratios(ours.both, orm.both)],
                2,
                TARGET,
            ),
        ],
    )
