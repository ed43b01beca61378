"""Alembic migrations of a service's database. Apart from `shared.db`, so that services start without Alembic."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import create_async_engine

from shared.db import CONNECT_TIMEOUT_S, is_outage, sqlalchemy_url

LOCK = 0x_DA5B_0A4D
"""The advisory lock that one migration at a time holds."""

LOOK_AGAIN_S = 1.0

NOT_MADE_YET = (asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError)
"""The database, or the role that is to enter it, does not exist, or not yet with this password."""


class NotMigrated(Exception):
    """The database has not got the schema that was waited for."""


def migrate(service: str, url: str) -> None:
    """Bring a service's database to the newest schema. Safe to run twice at once."""
    command.upgrade(_config(service, url), "head")


def wait_until_migrated(service: str, url: str, patience_s: float) -> None:
    """Change nothing, and return when the database has the schema of this code, or a newer one.

    Raises `NotMigrated` with the reason when that takes longer than `patience_s`.
    """
    asyncio.run(_wait_until_migrated(service, url, patience_s))


async def _wait_until_migrated(service: str, url: str, patience_s: float) -> None:
    missing = "nothing was answered"
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
    """Why a service's database is not fit for this code; empty when it is."""
    try:
        revision = await _revision(url)
    except NOT_MADE_YET as absent:
        return str(absent)
    except Exception as error:
        if not is_outage(error):
            raise
        return f"the database cannot be reached: {error!r}"
    scripts = ScriptDirectory.from_config(_config(service, url))
    enough = revision in scripts.get_heads() or _is_newer(scripts, revision)
    return "" if enough else f"its schema is {revision or 'not there'}"


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
    """A revision that this code has never heard of was made by a later version: this is the old one, coming back."""
    if revision is None:
        return False
    try:
        return scripts.get_revision(revision) is None
    except CommandError:
        return True


def _config(service: str, url: str) -> Config:
    config = Config()
    folder = Path(__file__).parent.parent / "services" / service / "migrations"
    config.set_main_option("script_location", str(folder))
    config.attributes["url"] = url
    return config


def run_migrations(metadata: sa.MetaData) -> None:
    """What each service's `migrations/env.py` does."""
    asyncio.run(_run_migrations(metadata, context.config.attributes["url"]))


async def _run_migrations(metadata: sa.MetaData, url: str) -> None:
    engine = create_async_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
    async with engine.begin() as connection:
        await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        await connection.run_sync(_upgrade, metadata)
    await engine.dispose()


def _upgrade(connection: sa.Connection, metadata: sa.MetaData) -> None:
    options: dict[str, Any] = {"compare_type": True, "compare_server_default": True}
    context.configure(connection=connection, target_metadata=metadata, **options)
    context.run_migrations()
