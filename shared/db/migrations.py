"""Alembic migrations of a service's database. Apart from `shared.db.engine`, so that services start without Alembic."""

import asyncio
from pathlib import Path
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
"""The advisory lock that one migration at a time holds."""

LOCK_TIMEOUT = "3s"
"""How long a statement of a migration waits for a table: whoever comes after it waits behind it as long."""
LOCK_ATTEMPTS = 20
LOCK_PAUSE_S = 0.5
LOCK_NOT_AVAILABLE = "55P03"


def migrate(service: str, url: str, to: str = "head") -> None:
    """Bring a service's database to the newest schema. Safe to run twice at once, and under load: a revision that does
    not get its locks soon gives way, and is tried again. Raises when it never gets them; what came before it stays."""
    upgrade(Path(__file__).parents[2] / "services" / service / "migrations", url, to)


def upgrade(folder: Path, url: str, to: str = "head") -> None:
    """The same, of the migrations in a folder."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.attributes["url"] = url
    command.upgrade(config, to)


def run_migrations(metadata: sa.MetaData) -> None:
    """What each service's `migrations/env.py` does."""
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
    """The pause before the next attempt where a statement did not get its lock; False for any other error."""
    is_lock_timeout = isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE
    return LOCK_PAUSE_S if is_lock_timeout else False


async def _take_turn(connection: AsyncConnection) -> None:
    """The lock is the session's, since each revision is a transaction of its own. Who waits for it holds no snapshot,
    for which a `CREATE INDEX CONCURRENTLY` would wait in turn."""
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
