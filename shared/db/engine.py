"""A service's Postgres database: SQLAlchemy sessions for ordinary work, an asyncpg pool for hot paths.

Both connect to the primary of a URL that may name several hosts. asyncpg supports such URLs, but has one timeout for
all hosts together: a first host that does not respond, for example because its machine is down, uses it up. Here each
host has its own share.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from asyncpg.pool import PoolConnectionProxy
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from shared.config.settings import ServiceSettings
from shared.observability import tracing
from shared.observability.pools import POOLS, WaitQueue
from shared.observability.tracing import Kind

CONNECT_TIMEOUT_S = 5.0
ACQUIRE_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0
STATEMENT_TIMEOUT_S = 60.0
"""The maximum time that Postgres works on a statement. Deadlines end a statement sooner, by a cancel request; this
limit covers a cancel request that is lost. It is longer than our own timeouts, so that those take effect first."""
IDLE_TRANSACTION_TIMEOUT_S = 60.0
"""How long a transaction may be idle before Postgres ends it. Its client may have disappeared, and its locks would stay
for hours. Longer than any job's effect outside the database takes."""
CLOSE_TIMEOUT_S = 3.0
RELEASE_TIMEOUT_S = 5.0
LISTENER_CLOSE_TIMEOUT_S = 1.0

IN_INDEX_ORDER = {"enable_bitmapscan": "off", "random_page_cost": "1.1"}
"""For hot reads of a user's newest rows, by an index in that order. When most users have few rows, Postgres would
prefer to collect and sort all of a user's rows, which takes 500 times as long for users with ten thousand."""

_SPAN, _SAYS = "postgresql", {"db.system.name": "postgresql"}
"""The span covers the time from requesting a connection until it is returned."""

PRIMARY = "primary"
NEXT = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.TargetServerAttributeNotMatched,
)
"""Errors after which the next host is tried: this one is down, starting, or a standby."""

Connection = PoolConnectionProxy
Pool = asyncpg.Pool

UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # raised if a connection is lost while asyncpg reads type information
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    exc.OperationalError,
    exc.InterfaceError,
    exc.TimeoutError,
)
"""Exceptions that are raised while the database is down, starting or overloaded: retrying later may help."""


TYPES: dict[Any, Any] = {UUID: sa.Uuid(), str: sa.Text(), datetime: sa.TIMESTAMP(timezone=True)}
"""The `type_annotation_map` of each service's declarative base."""


class DatabaseSettings(ServiceSettings):
    """The settings of a service with a database."""

    database_url: str
    """`postgresql://user:password@host:port/name`; of several hosts, `host:port,host:port`, the primary is used."""
    listen_database_url: str = ""
    """The same database without a pooler such as PgBouncer, for notifications, which need their own session. If
    empty, the same URL is used."""
    pool_size: int = 10
    """Connections of each of the two pools, at most. A panel read takes about a millisecond, so ten serve thousands
    a second: more only queue for the same cores inside Postgres, which allows 100 connections for all processes."""


class Location(Protocol):
    """Where a database is, as `DatabaseSettings` says it."""

    @property
    def database_url(self) -> str: ...

    @property
    def listen_database_url(self) -> str: ...

    @property
    def pool_size(self) -> int: ...


class WatchedPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, with a count of the waiting callers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.line = WaitQueue((exc.TimeoutError,))

    def _do_get(self) -> ConnectionPoolEntry:
        with self.line:
            return super()._do_get()


class Database:
    """Both kinds of access to one database. Connects on first use, so that a service starts without it."""

    def __init__(self, engine: AsyncEngine, pool: Pool, listen_url: str) -> None:
        self.engine = engine
        self.pool = pool
        self._listen_url = listen_url
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._line = WaitQueue()
        self._releases: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Location,
        *,
        lock_timeout_s: float = 0,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
        idle_transaction_timeout_s: float = IDLE_TRANSACTION_TIMEOUT_S,
    ) -> AsyncIterator["Database"]:
        """`lock_timeout_s`: how long a statement waits for a lock; 0 disables the limit, for all three."""
        session = {
            "statement_timeout": f"{statement_timeout_s * 1000:.0f}",
            "lock_timeout": f"{lock_timeout_s * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{idle_transaction_timeout_s * 1000:.0f}",
        }
        engine = create_engine(
            settings.database_url,
            timeout=CONNECT_TIMEOUT_S,
            connection={"command_timeout": COMMAND_TIMEOUT_S, "server_settings": session},
            poolclass=WatchedPool,
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=ACQUIRE_TIMEOUT_S,
            pool_pre_ping=True,
            hide_parameters=True,  # otherwise they would appear in errors, and so in logs
        )
        pool = asyncpg.create_pool(  # type: ignore[call-overload]  # its stub wants every option by name
            settings.database_url,
            connect=connect,
            min_size=0,
            max_size=settings.pool_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings=session | IN_INDEX_ORDER,
            reset=_leave_session,
        )
        try:
            db = cls(engine, await pool, settings.listen_database_url or settings.database_url)
            db.watch()
            yield db
        finally:
            await engine.dispose()
            await _close(pool)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """Yield a session in a transaction and commit it at the end. Use it at the edge, before the response."""
        with tracing.span(_SPAN, Kind.CLIENT, _SAYS):
            async with self._sessions.begin() as session:
                yield session

    @asynccontextmanager
    async def connection(self, timeout_s: float | None = None) -> AsyncIterator[Connection]:
        """Yield a pooled asyncpg connection, waiting at most `timeout_s`, or else `ACQUIRE_TIMEOUT_S`.

        An open transaction is rolled back at the end. Other session state (SET, LISTEN, advisory locks) is not reset:
        the caller must undo it.
        """
        with tracing.span(_SPAN, Kind.CLIENT, _SAYS):
            with self._line:
                connection = await self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S if timeout_s is None else timeout_s)
            try:
                yield connection
            finally:
                await self.pool.release(connection)

    async def fetch(self, statement: str, *arguments: object, timeout_s: float) -> list[asyncpg.Record]:
        """Return the rows of one statement, for hot reads: cheaper than `connection`.

        Raises `TimeoutError` if they do not arrive in time. The statement is then cancelled in the server as well, in
        the background.
        """
        with tracing.span(_SPAN, Kind.CLIENT, _SAYS):
            async with asyncio.timeout(timeout_s):
                with self._line:
                    connection = await self.pool.acquire()
                try:
                    rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
                except BaseException:
                    self._releases.add(release := asyncio.create_task(self._release(connection)))
                    release.add_done_callback(self._releases.discard)
                    raise
                await self.pool.release(connection)
            return rows

    async def _release(self, connection: Connection) -> None:
        """Release a connection after a failure: the server may have to be notified, and may not respond."""
        with suppress(*UNAVAILABLE):  # it has then been closed
            await self.pool.release(connection, timeout=RELEASE_TIMEOUT_S)

    def watch(self) -> None:
        """Report the utilisation of both pools in the metrics."""
        pool, sessions = self.pool, self.engine.pool
        if isinstance(sessions, WatchedPool):
            POOLS.watch("postgres_sessions", sessions.checkedout, sessions.size, sessions.line)
        POOLS.watch("postgres", lambda: pool.get_size() - pool.get_idle_size(), pool.get_max_size, self._line)

    @asynccontextmanager
    async def listening(self, channel: str, told: Callable[..., None]) -> AsyncIterator[asyncpg.Connection]:
        """Open a dedicated connection that calls `told` for every notification, and when it is lost."""
        connection = await connect(self._listen_url, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
        try:
            connection.add_termination_listener(told)
            await connection.add_listener(channel, told)
            yield connection
        finally:
            with suppress(*UNAVAILABLE):
                await connection.close(timeout=LISTENER_CLOSE_TIMEOUT_S)

    async def ping(self) -> None:
        """Raises if the database does not respond."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")


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


async def clock(session: AsyncSession) -> datetime:
    """Return the database's time, which all processes share; ages are computed from it. It is constant within a
    transaction."""
    return (await session.execute(sa.select(sa.func.now()))).scalar_one()


async def _close(pool: Pool) -> None:
    """Close gracefully, or terminate the connections if the server does not respond or a connection is not returned."""
    with suppress(TimeoutError):  # it terminates its connections when it is cancelled
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await pool.close()


async def _leave_session(_: asyncpg.Connection) -> None:
    """Replaces asyncpg's RESET ALL after each use, a round trip that costs a third of a short query."""


def is_late(error: Exception) -> bool:
    """Return whether an outage means that the database took too long, rather than that it is down."""
    return isinstance(error, TimeoutError | asyncpg.QueryCanceledError)


def is_outage(error: Exception) -> bool:
    """Return whether an exception means that the database cannot be reached or used now, rather than a bug."""
    if isinstance(error, exc.DBAPIError):
        return error.connection_invalidated or isinstance(error, UNAVAILABLE) or _caused_by_outage(error.orig)
    return isinstance(error, UNAVAILABLE)


def _caused_by_outage(original: BaseException | None) -> bool:
    return isinstance(original, UNAVAILABLE) or isinstance(getattr(original, "__cause__", None), UNAVAILABLE)
