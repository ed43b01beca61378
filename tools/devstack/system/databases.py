"""Statements for a Postgres server, from synchronous code."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import asyncpg

from shared.db.engine import connect
from tools.devstack.system.errors import StartError

_CONNECT_TIMEOUT = 30.0


def fetch(url: str, query: str, *values: object) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await connect(url, timeout=_CONNECT_TIMEOUT)
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    # In a thread, since the caller may itself be inside a running loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


def execute(url: str, *statements: str) -> None:
    """Run each in its own transaction: CREATE DATABASE requires that."""

    async def run() -> None:
        connection = await connect(url, timeout=_CONNECT_TIMEOUT)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()


def can_connect(url: str) -> bool:
    try:
        execute(url, "SELECT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


def with_database(url: str, database: str, user: str | None = None, password: str | None = None) -> str:
    """Return the URL of the same server with another database, and optionally another role."""
    parts = urlsplit(url)
    if user is not None:
        address = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{user}:{password}@{address}")
    return parts._replace(path=f"/{database}").geturl()


def create_databases(url: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """Create roles and databases as the role in `url`, and return the services' URLs. May be run again."""
    try:
        for name, password in passwords.items():
            _create(url, name, password)
    except asyncpg.InsufficientPrivilegeError as error:
        raise StartError(
            f"the role in DATABASE_URL may not set up the databases {', '.join(passwords)} ({error}). "
            "Give it CREATEDB and CREATEROLE, or a superuser's URL."
        ) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartError(f"the databases could not be set up: {error}") from error
    return {name: with_database(url, name, name, password) for name, password in passwords.items()}


def _create(url: str, name: str, password: str) -> None:
    known = bool(fetch(url, "SELECT 1 FROM pg_roles WHERE rolname = $1", name))
    verb = "ALTER" if known else "CREATE"
    execute(url, f"{verb} ROLE \"{name}\" LOGIN PASSWORD '{password}'")
    if not fetch(url, "SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper"):
        execute(url, f'GRANT "{name}" TO CURRENT_USER')  # only its members may transfer a database to a role
    if not fetch(url, "SELECT 1 FROM pg_database WHERE datname = $1", name):
        execute(url, f'CREATE DATABASE "{name}" OWNER "{name}"')
    execute(url, f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
