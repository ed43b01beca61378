"""The ways to enqueue a task with an order, in turns in one process.

    python -m tools.lab.bench.peers.enqueueing FOUND ROUNDS ORDERS WAY...

measures these ways, and writes their costs into the file FOUND, as JSON. The cost is the CPU of this process, and of
the Postgres backend (from its /proc/self/schedstat). Every way uses SQLAlchemy's session and one connection.
"""

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from services.orders.models import Order, Status
from services.orders.settings import Settings
from shared.clock import now
from shared.contracts.tasks import Task
from shared.db.engine import Database
from shared.ids import new_id
from shared.outbox.tasks import DurableTasks
from tools.lab.bench.enqueue import CELERY, OURS, PROCRASTINATE, WITH_ASYNCPG, WITH_PSYCOPG, Costs
from tools.lab.bench.orders import CPU
from tools.lab.bench.peers import effect

USER = UUID(effect.USERS[0])
TABLES = {OURS: "outbox", PROCRASTINATE: "procrastinate_jobs"}
Begin = Callable[[], Any]
"""Returns a context manager: a session in a transaction."""
Way = Callable[[Begin], Awaitable[object]]


class SendReceipt(Task, frozen=True, kw_only=True):
    order_id: UUID


async def _insert(session: AsyncSession) -> UUID:
    """Insert an order, which is the business transaction of every way, and return its id."""
    at, order_id = now(), new_id()
    values = {"user_id": USER, "id": order_id, "status": Status.CREATED, "currency": "EUR", "total": effect.TOTAL}
    more = {"item_count": effect.ITEMS, "mail": False, "created_at": at, "updated_at": at}
    await session.execute(sa.insert(Order).values(**values, **more))
    return order_id


async def no_task(begin: Begin) -> UUID:
    async with begin() as session:
        return await _insert(session)


async def our_task(begin: Begin) -> None:
    async with begin() as session:
        DurableTasks(session).add_task(SendReceipt(user_id=USER, order_id=await _insert(session)))


def celery_task() -> Way:
    from tools.lab.bench.peers.celery_tasks import fold_event

    async def place(begin: Begin) -> None:
        fold_event.delay(_task(await no_task(begin)))

    return place


def celery_tasks_stored() -> int:
    from tools.lab.bench.peers.celery_tasks import QUEUE, app

    with app.connection_for_read() as connection:
        return int(connection.default_channel.queue_declare(QUEUE, passive=True).message_count)


async def procrastinate_task() -> Way:
    """Add the job through the session's own psycopg connection, and so in its transaction."""
    from tools.lab.bench.peers.procrastinate_tasks import app, create_schema, fold_event

    async def place(begin: Begin) -> None:
        async with begin() as session:
            order_id = await _insert(session)
            raw = await (await session.connection()).get_raw_connection()
            await fold_event.configure(connection=raw.driver_connection).defer_async(given=_task(order_id))

    async with app.open_async():
        await create_schema()
    return place


def _task(order_id: UUID) -> dict[str, Any]:
    return {"user_id": str(USER), "order_id": str(order_id)}


@asynccontextmanager
async def psycopg_sessions() -> AsyncIterator[Begin]:
    from tools.lab.bench.peers.procrastinate_tasks import OPTIONS

    url = sa.make_url(effect.DATABASE_URL).set(drivername="postgresql+psycopg")
    engine = create_async_engine(url, connect_args=OPTIONS, pool_size=1, max_overflow=0, pool_pre_ping=True)
    try:
        yield async_sessionmaker(engine, expire_on_commit=False).begin
    finally:
        await engine.dispose()


class NotStored(Exception):
    """Not every order has its task."""


async def measure(names: Sequence[str], rounds: int, orders: int) -> dict[str, Costs]:
    """Measure after one round that does not count, which connects and prepares the statements. Raises `NotStored`."""
    settings = Settings(
        environment="development", database_url=effect.DATABASE_URL, rabbitmq_url=effect.RABBITMQ_URL, pool_size=1
    )
    async with AsyncExitStack() as stack:
        asyncpg = (await stack.enter_async_context(Database.open(settings))).begin
        turns: dict[str, tuple[Begin, Way]] = {WITH_ASYNCPG: (asyncpg, no_task), OURS: (asyncpg, our_task)}
        if CELERY in names:
            turns[CELERY] = (asyncpg, celery_task())
        if PROCRASTINATE in names:
            way = await procrastinate_task()
            psycopg = await stack.enter_async_context(psycopg_sessions())
            turns |= {WITH_PSYCOPG: (psycopg, no_task), PROCRASTINATE: (psycopg, way)}
        found = {name: Costs() for name in turns}
        for number in range(rounds + 1):
            for name, (begin, way) in turns.items():
                python, postgres = await _turn(begin, way, orders)
                if number:
                    found[name].python.append(python)
                    found[name].postgres.append(postgres)
        await _verify({name: begin for name, (begin, _) in turns.items()}, (rounds + 1) * orders)
        return found


async def _verify(begins: dict[str, Begin], expected: int) -> None:
    stored = {name: await _count(begins[name], table) for name, table in TABLES.items() if name in begins}
    if CELERY in begins:
        stored[CELERY] = celery_tasks_stored()
    if set(stored.values()) != {expected}:
        raise NotStored(f"{stored} instead of {expected} each")


async def _count(begin: Begin, table: str) -> int:
    async with begin() as session:
        return int((await session.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def _turn(begin: Begin, way: Way, orders: int) -> tuple[float, float]:
    postgres, python = await _backend_s(begin), time.process_time()
    for _ in range(orders):
        await way(begin)
    python = time.process_time() - python
    return python / orders * 1e6, (await _backend_s(begin) - postgres) / orders * 1e6


async def _backend_s(begin: Begin) -> float:
    async with begin() as session:
        return float((await session.execute(sa.text(CPU))).scalar_one()) / 1e9


def main(path: str, rounds: str, orders: str, *names: str) -> None:
    import uvloop

    Path(path).write_bytes(msgspec.json.encode(uvloop.run(measure(names, int(rounds), int(orders)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
