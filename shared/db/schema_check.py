"""Waiting for a schema: a new version serves once somebody has migrated its database, an old one goes on meanwhile.

Apart from `shared.db.engine`, so that services start without Alembic.
"""

import asyncio
from pathlib import Path

import asyncpg
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from shared.db.engine import CONNECT_TIMEOUT_S, is_outage

LOOK_AGAIN_S = 1.0

NOT_MADE_YET = (asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError)
"""The database, or the role that is to enter it, does not exist, or not yet with this password."""


class NotMigrated(Exception):
    """The database has not got the schema that was waited for."""


def wait_until_migrated(service: str, url: str, patience_s: float) -> None:
    """Change nothing, and return when the database has the schema of this code, or a newer one.

    Raises `NotMigrated` with the reason when that takes longer than `patience_s`.
    """
    asyncio.run(_wait_until_migrated(service, url, patience_s))


def is_missing(service: str, url: str) -> bool:
    """Whether the database is not, or not known to be, fit for this code."""
    return bool(asyncio.run(what_is_missing(service, url)))


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
    scripts = ScriptDirectory(str(Path(__file__).parents[2] / "services" / service / "migrations"))
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
