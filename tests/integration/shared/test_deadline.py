"""A deadline that passes while Postgres works ends the work in Postgres, too."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from shared.db.engine import Database, DatabaseSettings
from tests.support.backends import PostgresBackend
from tests.support.waiting import eventually


async def running(url: str, mark: str) -> int:
    """The statements with this mark that the server is working on."""
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1",
            f"%pg_sleep%{mark}%",
        )
    finally:
        await connection.close()
    return int(found)


async def test_a_deadline_cancels_the_statement_in_the_server(postgres: PostgresBackend) -> None:
    """The server stops, and the connection serves the next."""
    settings = DatabaseSettings(environment="development", database_url=postgres.url, pool_size=1)
    mark = f"m{uuid4().hex}"
    async with Database.open(settings) as db:
        await db.ping()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), db.connection(0.3) as connection:
                await connection.fetch(f"SELECT pg_sleep(600) AS {mark}")

        async def stopped() -> bool:
            return await running(settings.database_url, mark) == 0

        await eventually(stopped)
        await db.ping()


async def test_postgres_ends_what_nobody_cancels(postgres: PostgresBackend) -> None:
    """However long its client is willing to wait, a statement ends at the limit of the session."""
    settings = DatabaseSettings(environment="development", database_url=postgres.url)
    async with Database.open(settings, statement_timeout_s=0.2) as db, db.connection() as connection:
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.fetch("SELECT pg_sleep(600)")
