"""Alembic migrations of a service's database. Separate from `shared.db.engine`, which starts without Alembic."""

import asyncio
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import sqlalchemy as sa
import stamina
from alembic import command, context
from alembic.config import Config
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.hosts import create_engine

CONNECT_TIMEOUT_S = 60.0
LOCK = 0x_DA5B_0A4D
"""The advisory lock that serialises migrations."""

LOCK_TIMEOUT = "3s"
"""How long a statement of a migration waits for a table: later statements wait behind it for as long."""
LOCK_ATTEMPTS = 20
LOCK_PAUSE_S = 0.5
LOCK_NOT_AVAILABLE = "55P03"


def migrate(service: str, url: str, to: str = "head") -> None:
    """Migrate a service's database to the newest schema. Safe to run twice at once, and under load: a revision that
    does not get its locks soon gives way and is retried. Raises if it never gets them; earlier revisions stay applied.
    """
    upgrade(Path(__file__).parents[2] / "services" / service / "migrations", url, to)


def upgrade(folder: Path, url: str, to: str = "head") -> None:
    """Do the same for the migrations in a folder."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.attributes["url"] = url
    command.upgrade(config, to)


def metadata_of(service: str) -> sa.MetaData:
    """Return the tables of a service, such as `services.users`: those of every module `models` in its folder."""
    base = import_module(f"{service}.models").Base
    for module in walk_packages(import_module(service).__path__, f"{service}."):
        if module.name.endswith(".models"):
            import_module(module.name)
    metadata: sa.MetaData = base.metadata
    return metadata


def run_migrations(metadata: sa.MetaData) -> None:
    """Run the migrations; each service's `migrations/env.py` calls this."""
    asyncio.run(_run_migrations(metadata, context.config.attributes["url"]))


async def _run_migrations(metadata: sa.MetaData, url: str) -> None:
    engine = create_engine(url, timeout=CONNECT_TIMEOUT_S, poolclass=sa.NullPool)
    async with engine.connect() as connection:
        await _take_turn(connection)
        async for attempt in stamina.retry_context(on=_pause_for_lock, attempts=LOCK_ATTEMPTS, timeout=None):
            with attempt:
                try:
                    await connection.run_sync(_upgrade, metadata)
                except DBAPIError:
                    await connection.rollback()
                    raise
    await engine.dispose()


def _pause_for_lock(error: Exception) -> float | bool:
    """Return the pause before the next attempt if a statement did not get its lock; False for any other error."""
    is_lock_timeout = isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE
    return LOCK_PAUSE_S if is_lock_timeout else False


async def _take_turn(connection: AsyncConnection) -> None:
    """Use a session lock, since each revision is its own transaction. A waiting session holds no snapshot, for which a
    `CREATE INDEX CONCURRENTLY` would have to wait."""
    while not await connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}):
        await connection.rollback()
        await asyncio.sleep(LOCK_PAUSE_S)
    await connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    await connection.commit()


def _upgrade(connection: sa.Connection, metadata: sa.MetaData) -> None:
    options: dict[str, Any] = {"compare_type": True, "compare_server_default": True}
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True, **options)
    with context.begin_transaction():
        context.run_migrations()
