"""The worker's schema."""

import subprocess
import sys

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from services.worker.models import Base
from shared.db import CONNECT_TIMEOUT_S
from shared.primary import create_engine
from tests.support.backends.databases import NewDatabase


async def test_the_migrations_make_what_the_models_say(new_database: NewDatabase) -> None:
    """Alembic finds no difference between the two."""

    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))

    engine = create_engine(new_database("worker"), timeout=CONNECT_TIMEOUT_S)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def test_two_processes_may_migrate_at_once(new_database: NewDatabase) -> None:
    """The second waits for the first and finds nothing to do."""
    url = new_database("worker")
    command = [sys.executable, "-c", f"from shared.migrations import migrate; migrate('worker', {url!r})"]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
