"""Procrastinate, whose queue is in the same Postgres.

python -m tools.lab.bench.peers.procrastinate_tasks publish COUNT | consume

Tuned: uvloop, ten jobs at once with ten connections, which commit each statement and are not checked before each use,
done jobs deleted, no log, one prepared statement per event. Its tables have their own schema, which publishing creates
again, with current statistics.
"""

import logging
import sys
from typing import Any

import psycopg
from procrastinate import App, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

from tools.lab.bench.peers import effect

QUEUE = SCHEMA = "procrastinate"
CONNECTIONS = 10
OPTIONS = {"options": f"-c search_path={SCHEMA},public"}
logging.getLogger("procrastinate").setLevel(logging.ERROR)
connector = PsycopgConnector(conninfo=effect.DATABASE_URL, kwargs=OPTIONS)
app = App(connector=connector)


@app.task(name="fold", queue=QUEUE)
async def fold_event(given: dict[str, Any]) -> None:
    async with connector.pool.connection() as connection:
        await connection.execute(effect.PSYCOPG, given)


async def create_schema() -> None:
    """Create Procrastinate's tables, without jobs. The app must be open."""
    async with await psycopg.AsyncConnection.connect(effect.DATABASE_URL, autocommit=True) as connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    await app.schema_manager.apply_schema_async()


async def publish(count: int) -> None:
    jobs: list[dict[str, Any]] = [{"given": each} for each in effect.events(count)]
    async with app.open_async():
        await create_schema()
        await fold_event.batch_defer_async(*jobs)
    async with await psycopg.AsyncConnection.connect(effect.DATABASE_URL, autocommit=True) as connection:
        await connection.execute(f"ANALYZE {SCHEMA}.procrastinate_jobs")


async def commit_each_statement(connection: psycopg.AsyncConnection) -> None:
    await connection.set_autocommit(True)


async def consume() -> None:
    pool = AsyncConnectionPool(
        effect.DATABASE_URL,
        kwargs=OPTIONS,
        configure=commit_each_statement,
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        open=False,
    )
    async with pool, app.open_async(pool):
        await app.run_worker_async(concurrency=CONNECTIONS, delete_jobs="successful")


if __name__ == "__main__":
    import uvloop

    uvloop.run(publish(effect.asked_to_publish()) if sys.argv[1] == "publish" else consume())
