"""Waiting for a schema: a new version serves once its database has been migrated; the old one serves meanwhile.

Separate from `shared.db.engine`, so that services start without Alembic.
"""

import asyncio
from pathlib import Path

import asyncpg
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from shared.db.engine import CONNECT_TIMEOUT_S, is_outage

LOOK_AGAIN_S = 1.0

NOT_MADE_YET = (asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError)
"""The database or its role does not exist yet, or not yet with this password."""


class NotMigrated(Exception):
    """The database does not have the expected schema."""


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
