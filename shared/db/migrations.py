"""Alembic migrations of a service's database, and waiting for its schema: a new version serves once its database has
been migrated; the old one serves until then.

Separate from `shared.db.engine`, so that services start without Alembic.
"""

import asyncio
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import asyncpg
import sqlalchemy as sa
import stamina
from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import CONNECT_TIMEOUT_S, create_engine, is_outage

MIGRATE_CONNECT_TIMEOUT_S = 60.0
LOCK = 0x_DA5B_0A4D
"""The advisory lock that serialises migrations."""

LOCK_TIMEOUT = "3s"
"""How long a statement of a migration waits for a table: later statements wait behind it for as long."""
LOCK_ATTEMPTS = 20
LOCK_PAUSE_S = 0.5
LOCK_NOT_AVAILABLE = "55P03"
LOOK_AGAIN_S = 1.0

NOT_MADE_YET = (asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError)
"""The database or its role does not exist yet, or not yet with this password."""


class NotMigrated(Exception):
    """The database does not have the expected schema."""


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
    engine = create_engine(url, timeout=MIGRATE_CONNECT_TIMEOUT_S, poolclass=sa.NullPool)
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


def wait_until_migrated(service: str, url: str, patience_s: float) -> None:
    """Wait until the database has the schema of this code, or a newer one, without changing anything.

    Raises `NotMigrated` with the reason if that takes longer than `patience_s`.
    """
    asyncio.run(_wait_until_migrated(service, url, patience_s))


def is_missing(service: str, url: str) -> bool:
    """Return whether the schema is missing, outdated or unknown."""
    return bool(asyncio.run(what_is_missing(service, url)))


async def _wait_until_migrated(service: str, url: str, patience_s: float) -> None:
    missing = "the database has not answered"
    try:
        async with asyncio.timeout(patience_s):
            while True:
                missing = await what_is_missing(service, url)
                if not missing:
                    return
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError:
        raise NotMigrated(missing) from None


async def what_is_missing(service: str, url: str) -> str:
    """Return why a service's database does not fit this code, or an empty string if it does."""
    try:
        revision = await _revision(url)
    except NOT_MADE_YET as absent:
        return str(absent)
    except Exception as error:
        if not is_outage(error):
            raise
        return f"the database cannot be reached: {error!r}"
    scripts = ScriptDirectory(str(Path(__file__).parents[2] / "services" / service / "migrations"))
    enough = revision in scripts.get_heads() or _is_newer(scripts, revision)
    return "" if enough else f"its schema is {revision or 'missing'}"


async def _revision(url: str) -> str | None:
    connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    try:
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()
    return revision


def _is_newer(scripts: ScriptDirectory, revision: str | None) -> bool:
    """A revision that this code does not know was created by a later version: this is a rollback."""
    if revision is None:
        return False
    try:
        return scripts.get_revision(revision) is None
    except CommandError:
        return True
