"""The schema of the users database."""

import asyncio
import sys
from collections.abc import Iterator

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.users.models import User
from shared.db import CONNECT_TIMEOUT_S
from shared.primary import create_engine
from tests.support.backends.databases import NewDatabase


@pytest.fixture
def empty_database(new_database: NewDatabase) -> Iterator[str]:
    url = new_database("users")
    yield url
    new_database.drop(url)


async def test_two_processes_may_migrate_at_once(empty_database: str) -> None:
    """Both succeed, the schema is there once, and a third run changes nothing."""
    statuses = await asyncio.gather(_migrate(empty_database), _migrate(empty_database))
    assert tuple(statuses) == (0, 0)
    assert await _migrate(empty_database) == 0
    connection = await asyncpg.connect(empty_database)
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    await connection.close()


async def _migrate(url: str) -> int:
    """In a process of its own; returns its exit status."""
    program = "import sys; from shared.migrations import migrate; migrate('users', sys.argv[1])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, url)
    return await process.wait()


async def test_the_models_are_what_the_migrations_make(new_database: NewDatabase) -> None:
    """Alembic finds no difference between the two."""
    engine = create_engine(new_database("users"), timeout=CONNECT_TIMEOUT_S, poolclass=sa.NullPool)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


def _differences(connection: sa.Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, User.metadata))
