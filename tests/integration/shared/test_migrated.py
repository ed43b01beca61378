"""A new version waits for its schema before it serves."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from shared.db import migrations
from shared.db.migrations import migrate
from tests.support.backends.databases import NewDatabase
from tests.support.waiting import eventually
from tools.cli.main import app

PATIENCE_S = 60
NONE = 0.001
"""Enough for a look that is cut off: the answer is that it is not so far."""


@pytest.fixture
def database(new_database: NewDatabase) -> Iterator[str]:
    url = new_database()
    yield url
    new_database.drop(url)


async def test_it_waits_until_another_process_has_migrated(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on waiting while there is no schema, and returns once there is."""
    monkeypatch.setattr(migrations, "LOOK_AGAIN_S", 0.01)
    waiting = asyncio.create_task(asyncio.to_thread(migrations.wait_until_migrated, "users", database, PATIENCE_S))
    connection = await asyncpg.connect(database)
    looks = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    await eventually(lambda: connection.fetchval(looks))
    assert not waiting.done()
    await asyncio.to_thread(migrate, "users", database)
    await waiting
    await connection.close()


def test_a_schema_that_does_not_come_is_said(database: str) -> None:
    """After its patience it ends, and has changed nothing."""
    with pytest.raises(migrations.NotMigrated):
        migrations.wait_until_migrated("users", database, NONE)


async def test_an_old_schema_is_not_enough(database: str) -> None:
    """A revision that this code knows, and that is not its newest, is waited upon."""
    await asyncio.to_thread(migrate, "users", database)
    assert await migrations.what_is_missing("users", database) == ""
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE alembic_version SET version_num = '0001'")
    await connection.close()
    assert await migrations.what_is_missing("users", database) == "its schema is 0001"


async def test_a_newer_schema_is_enough_for_old_code(database: str) -> None:
    """So a version can be taken back: each migration leaves the version before it working."""
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE alembic_version AS SELECT '9999' AS version_num")
    await connection.close()
    assert await migrations.what_is_missing("users", database) == ""
    done = await asyncio.to_thread(run_cli, "migrate", "users", USERS_DATABASE_URL=database)
    assert (done.exit_code, await tables(database)) == (0, ["alembic_version"])


async def test_the_command_migrates_and_then_waits_for_nothing(database: str) -> None:
    """`dashboard migrate` makes the schema; `dashboard migrate --wait` is content with it, and says where it is not."""
    for arguments in (["migrate", "users"], ["migrate", "--wait", "users"]):
        done = await asyncio.to_thread(run_cli, *arguments, USERS_DATABASE_URL=database)
        assert done.exit_code == 0, done.output
    assert "users" in await tables(database)
    absent = database.rpartition("/")[0] + "/not_made_yet"
    waited = await asyncio.to_thread(
        run_cli, "migrate", "--wait", "--patience", "0.001", "users", USERS_DATABASE_URL=absent
    )
    assert (waited.exit_code, "users is not migrated" in waited.output) == (1, True)


def run_cli(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env=environment)


async def tables(database: str) -> list[str]:
    connection = await asyncpg.connect(database)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    await connection.close()
    return [row["tablename"] for row in rows]


async def test_what_is_not_made_yet_is_waited_for(database: str) -> None:
    """The operator of the databases may be slower than this: a database, or a server, that is not there yet."""
    absent = database.rpartition("/")[0] + "/not_made_yet"
    assert "not_made_yet" in await migrations.what_is_missing("users", absent)
    assert "cannot be reached" in await migrations.what_is_missing("users", "postgresql://u:p@127.0.0.1:1/none")
