"""A few statements for a Postgres server, from code that is not asynchronous."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import asyncpg

from shared.primary import connect

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
    """Each in a transaction of its own: CREATE DATABASE takes no other."""

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
    """The same server, another database and perhaps another role."""
    parts = urlsplit(url)
    if user is not None:
        address = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{user}:{password}@{address}")
    return parts._replace(path=f"/{database}").geturl()
