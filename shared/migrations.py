"""Alembic migrations of a service's database. Apart from `shared.db`, so that services start without Alembic."""

import asyncio
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config

from shared.primary import create_engine

CONNECT_TIMEOUT_S = 60.0
LOCK = 0x_DA5B_0A4D
"""The advisory lock that one migration at a time holds."""


def migrate(service: str, url: str) -> None:
    """Bring a service's database to the newest schema. Safe to run twice at once."""
    config = Config()
    folder = Path(__file__).parent.parent / "services" / service / "migrations"
    config.set_main_option("script_location", str(folder))
    config.attributes["url"] = url
    command.upgrade(config, "head")


def run_migrations(metadata: sa.MetaData) -> None:
    """What each service's `migrations/env.py` does."""
    asyncio.run(_run_migrations(metadata, context.config.attributes["url"]))


async def _run_migrations(metadata: sa.MetaData, url: str) -> None:
    engine = create_engine(url, timeout=CONNECT_TIMEOUT_S, poolclass=sa.NullPool)
    async with engine.begin() as connection:
        await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        await connection.run_sync(_upgrade, metadata)
    await engine.dispose()


def _upgrade(connection: sa.Connection, metadata: sa.MetaData) -> None:
    options: dict[str, Any] = {"compare_type": True, "compare_server_default": True}
    context.configure(connection=connection, target_metadata=metadata, **options)
    context.run_migrations()
