"""How much of a service's connections is in use, as metrics tell it."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from shared.db import engine
from shared.db.engine import Database, DatabaseSettings, is_outage
from tests.support.backends import PostgresBackend
from tests.support.link import Link
from tests.support.metrics import sample
from tests.support.patience import PATIENCE_S
from tests.support.waiting import eventually


def told(pool: str, *metrics: str) -> list[Any]:
    return [sample(f"pool_{metric}", {"pool": pool}) for metric in metrics]


async def test_connections_in_use_and_who_waits_for_them(postgres: PostgresBackend) -> None:
    """One is taken, one waits in vain; then all are free, and the wait has been counted."""
    settings = DatabaseSettings(environment="development", database_url=postgres.url, pool_size=1)
    async with Database.open(settings) as database:
        async with database.connection():
            assert told("postgres", "in_use", "limit", "waiting") == [1, 1, 0]
            waits = asyncio.create_task(_take(database))

            async def one_waits() -> bool:
                return told("postgres", "waiting") == [1]

            await eventually(one_waits)
            with pytest.raises(TimeoutError):
                await waits
        assert told("postgres", "in_use", "waiting", "refused_total") == [0, 0, 1]
        [waited_s] = told("postgres", "wait_seconds_total")
        assert waited_s > 0


async def test_sessions_in_use_and_who_waits_for_them(
    postgres: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Likewise for SQLAlchemy's."""
    monkeypatch.setattr(engine, "ACQUIRE_TIMEOUT_S", 0.5)
    settings = DatabaseSettings(environment="development", database_url=postgres.url, pool_size=1)
    async with Database.open(settings) as database, database.begin() as session:
        await session.execute(sa.text("SELECT 1"))
        assert told("postgres_sessions", "in_use", "limit", "refused_total") == [1, 1, 0]
        with pytest.raises(Exception, match="limit of size 1") as refused:
            await _ask(database)
        assert is_outage(refused.value)
        assert told("postgres_sessions", "in_use", "waiting", "refused_total") == [1, 0, 1]


async def test_a_read_that_is_late_does_not_wait_for_a_silent_server(postgres: PostgresBackend) -> None:
    """It ends at its deadline; its connection is given back when the server has gone."""
    async with Link.to(postgres.url) as link:
        settings = DatabaseSettings(environment="development", database_url=link.url, pool_size=1)
        async with Database.open(settings) as database:
            assert [tuple(row) for row in await database.fetch("SELECT $1::int", 7, timeout_s=PATIENCE_S)] == [(7,)]
            assert told("postgres", "in_use") == [0]
            link.silence()
            with pytest.raises(TimeoutError):
                await database.fetch("SELECT 1", timeout_s=0.2)
            assert told("postgres", "in_use") == [1]
            await link.cut()

            async def is_free() -> bool:
                return told("postgres", "in_use") == [0]

            await eventually(is_free)
            await link.mend()
            assert await database.fetch("SELECT 1", timeout_s=PATIENCE_S)


async def _take(database: Database) -> None:
    async with database.connection(timeout_s=0.5):
        raise AssertionError("there was none to be had")


async def _ask(database: Database) -> None:
    async with database.begin() as session:
        await session.execute(sa.text("SELECT 1"))
