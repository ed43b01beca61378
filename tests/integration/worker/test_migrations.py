"""The worker's schema."""

import subprocess
import sys
from collections.abc import Callable
from uuid import uuid4

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from services.worker.models import Base
from shared.db import CONNECT_TIMEOUT_S
from shared.primary import create_engine
from tests.backends import Backends


async def test_the_migrations_make_what_the_models_say(new_database: Callable[[], str]) -> None:
    """Alembic finds no difference between the two."""

    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))

    engine = create_engine(new_database(), timeout=CONNECT_TIMEOUT_S)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def test_two_processes_may_migrate_at_once(backends: Backends) -> None:
    """The second waits for the first and finds nothing to do."""
    name = f"worker_{uuid4().hex[:12]}"
    url = backends.postgres.create_database(name)
    command = [sys.executable, "-c", f"from shared.migrations import migrate; migrate('worker', {url!r})"]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    backends.postgres.drop_database(name)
