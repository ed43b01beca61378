"""The schema of each service's database."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from shared.db.engine import create_engine
from shared.db.migrations import LOCK, migrate
from tests.support.backends.databases import NewDatabase
from tests.support.patience import PATIENCE_S
from tests.support.services.description import Service
from tests.support.services.every import each, each_in_full
from tests.support.waiting import eventually

OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Two processes, because Alembic has global state, so that one process migrates one database at a time."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def empty_database(new_database: NewDatabase) -> Iterator[str]:
    url = new_database()
    yield url
    new_database.drop(url)


@pytest.mark.full
@each_in_full
async def test_two_processes_may_migrate_at_once(
    service: Service, processes: ProcessPoolExecutor, empty_database: str
) -> None:
    """Both succeed, on an empty database and on one that is up to date, and the schema is created once."""
    connection = await asyncpg.connect(empty_database)
    revisions = []
    for _ in range(2):
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        both = [processes.submit(migrate, service.name, empty_database) for _ in range(2)]
        await eventually(partial(_both_wait, connection), within=180)  # the first time, they start and import Alembic
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
        await asyncio.gather(*map(asyncio.wrap_future, both))
        revisions.append(await connection.fetch("SELECT version_num FROM alembic_version"))
    await connection.close()
    assert len(revisions[0]) == 1
    assert revisions[0] == revisions[1]


async def _both_wait(connection: asyncpg.Connection) -> bool:
    return bool(await connection.fetchval(OTHERS) == 2)


@each
async def test_the_models_are_what_the_migrations_make(service: Service, new_database: NewDatabase) -> None:
    """Alembic finds no difference between models and migrations."""

    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, service.metadata))

    url = await asyncio.to_thread(new_database, service.name)
    engine = create_engine(url, timeout=PATIENCE_S, poolclass=sa.NullPool)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()
    await asyncio.to_thread(new_database.drop, url)
