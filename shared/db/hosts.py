"""Connecting to the primary of a Postgres URL that may name several hosts.

asyncpg supports such URLs, but has one timeout for all hosts together: a first host that does not respond, for example
because its machine is down, uses it up. Here each host has its own share.
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
"""Errors after which the next host is tried: this one is down, starting, or a standby."""


def each_host(url: str) -> list[str]:
    """Return a URL for each host of `postgresql://user:password@host1:port,host2:port/name`. Of several the primary is
    used, unless `target_session_attrs` says otherwise."""
    parts = urlsplit(url)
    credentials, at, addresses = parts.netloc.rpartition("@")
    hosts = addresses.split(",")
    if len(hosts) == 1:
        return [url]
    query = urlencode({"target_session_attrs": [PRIMARY]} | parse_qs(parts.query), doseq=True)
    return [parts._replace(netloc=f"{credentials}{at}{host}", query=query).geturl() for host in hosts]


async def connect(url: str, *, timeout: float, **options: Any) -> asyncpg.Connection:  # noqa: ASYNC109  asyncpg's name
    """Connect like `asyncpg.connect`, to which the options are passed. Raises the last host's error if all fail."""
    hosts = each_host(url)
    for host in hosts[:-1]:
        try:
            return await asyncpg.connect(host, timeout=timeout / len(hosts), **options)
        except NEXT:
            continue
    return await asyncpg.connect(hosts[-1], timeout=timeout / len(hosts), **options)


def create_engine(url: str, *, timeout: float, connection: dict[str, Any] | None = None, **options: Any) -> AsyncEngine:
    """Create SQLAlchemy's engine on such connections; `connection` are asyncpg's options, the rest are SQLAlchemy's."""

    async def make() -> asyncpg.Connection:
        return await connect(url, timeout=timeout, **(connection or {}))

    return create_async_engine("postgresql+asyncpg://", async_creator=make, **options)
