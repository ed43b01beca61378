"""Migrations of a database that is in use."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from shared.db import migrations
from tests.support.backends.databases import NewDatabase
from tests.support.waiting import eventually

WAITING = """
    SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation
    WHERE relname = 'orders' AND mode = 'AccessExclusiveLock' AND NOT granted AND database = (
        SELECT oid FROM pg_database WHERE datname = current_database()
    )
"""
ENV = """
import sqlalchemy as sa
from shared.db.migrations import run_migrations
run_migrations(sa.MetaData())
"""
CONCURRENTLY = """
from alembic import op
revision, down_revision = "0001", None

def upgrade():
    op.execute("CREATE TABLE notes (id int)")
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY notes_id ON notes (id)")
"""


@pytest.fixture
def database(new_database: NewDatabase) -> Iterator[str]:
    url = new_database()
    yield url
    new_database.drop(url)


async def test_a_migration_that_gets_no_lock_gives_way(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it waits others wait behind it, so it gives up soon, lets them pass, and tries again until it succeeds."""
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "300ms")
    monkeypatch.setattr(migrations, "LOCK_PAUSE_S", 0.1)
    monkeypatch.setattr(migrations, "LOCK_ATTEMPTS", 10_000)  # however slow the rest of this test is
    await asyncio.to_thread(migrations.migrate, "orders", database, "0001")
    holder, other = await asyncpg.connect(database), await asyncpg.connect(database)
    async with holder.transaction():
        await holder.execute("SELECT FROM orders")
        migrating = asyncio.create_task(asyncio.to_thread(migrations.migrate, "orders", database, "0002"))
        await eventually(lambda: other.fetchval(WAITING))
        await other.execute("SELECT FROM orders")
        assert not migrating.done()
    await migrating
    assert await other.fetchval("SELECT version_num FROM alembic_version") == "0002"
    await holder.close()
    await other.close()


@pytest.mark.full
async def test_an_index_is_made_while_others_write(database: str, tmp_path: Path) -> None:
    """Outside of a transaction; a second migration that waits for its turn does not hold it up."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV)
    (tmp_path / "versions/0001.py").write_text(CONCURRENTLY)
    here = asyncio.to_thread(migrations.upgrade, tmp_path, database)
    await asyncio.gather(here, _in_a_process(tmp_path, database))
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'notes_id'::regclass")
    await connection.close()


async def _in_a_process(folder: Path, url: str) -> None:
    """Alembic keeps what it is doing in its module."""
    program = "import sys, pathlib; from shared.db.migrations import *; upgrade(pathlib.Path(sys.argv[1]), sys.argv[2])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(folder), url)
    assert await process.wait() == 0
