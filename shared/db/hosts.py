"""Connecting to Postgres where its URL may name several hosts: to the one that takes writes.

asyncpg reads such a URL itself, but gives one timeout to all of its hosts together: the first that does not answer at
all, as when its machine is gone, would use it up. Here each has its own part of it.
"""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

PRIMARY = "primary"
NEXT = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.TargetServerAttributeNotMatched,
)
"""What makes us ask the next host: this one is away, starting, or a standby."""


def each_host(url: str) -> list[str]:
    """A URL for each host of `postgresql://user:password@host1:port,host2:port/name`. Of several the primary is
    meant, unless `target_session_attrs` says otherwise."""
    parts = urlsplit(url)
    credentials, at, addresses = parts.netloc.rpartition("@")
    hosts = addresses.split(",")
    if len(hosts) == 1:
        return [url]
    query = urlencode({"target_session_attrs": [PRIMARY]} | parse_qs(parts.query), doseq=True)
    return [parts._replace(netloc=f"{credentials}{at}{host}", query=query).geturl() for host in hosts]


async def connect(url: str, *, timeout: float, **options: Any) -> asyncpg.Connection:  # noqa: ASYNC109  asyncpg's name
    """As `asyncpg.connect`, which gets the options. Raises what the last host raised when none will do."""
    hosts = each_host(url)
    for host in hosts[:-1]:
        try:
            return await asyncpg.connect(host, timeout=timeout / len(hosts), **options)
        except NEXT:
            continue
    return await asyncpg.connect(hosts[-1], timeout=timeout / len(hosts), **options)


def create_engine(url: str, *, timeout: float, connection: dict[str, Any] | None = None, **options: Any) -> AsyncEngine:
    """SQLAlchemy's engine on such connections; `connection` are asyncpg's options, the rest are SQLAlchemy's."""

    async def make() -> asyncpg.Connection:
        return await connect(url, timeout=timeout, **(connection or {}))

    return create_async_engine("postgresql+asyncpg://", async_creator=make, **options)
