"""The statements of a request, to compare the work of two requests instead of their durations."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import httpx
import sqlalchemy as sa

from shared.db.engine import Database

_observed: ContextVar[bool] = ContextVar("observed", default=False)
"""Set in requests of the test, and not in the service's background work."""


@asynccontextmanager
async def statements(db: Database) -> AsyncIterator[list[str]]:
    """Collect every statement of the requests in this block, with both database clients."""
    seen: list[str] = []

    def by_sqlalchemy(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if _observed.get():
            seen.append(statement)

    def by_asyncpg(record: Any) -> None:
        if _observed.get():
            seen.append(record.query)

    async with db.connection():
        pass  # so that a connection to listen to exists
    holders: list[Any] = db.pool._holders  # type: ignore[attr-defined]  # asyncpg has no other way to all of them
    connections = [holder._con for holder in holders if holder._con]
    sa.event.listen(db.engine.sync_engine, "before_cursor_execute", by_sqlalchemy)
    for connection in connections:
        connection.add_query_logger(by_asyncpg)
    mark = _observed.set(True)
    try:
        yield seen
        await asyncio.sleep(0)  # asyncpg calls its loggers in the next iteration of the loop
    finally:
        _observed.reset(mark)
        sa.event.remove(db.engine.sync_engine, "before_cursor_execute", by_sqlalchemy)
        for connection in connections:
            connection.remove_query_logger(by_asyncpg)


async def assert_hidden(
    db: Database, ask: Callable[[str], Awaitable[httpx.Response]], theirs: str, missing: str, *, looks: bool = True
) -> None:
    """Assert that another user's data is answered like data that does not exist: 404, with the same body and the same
    statements.

    There are some statements, unless the service does not look; then it runs none.
    """
    found = []
    for thing in (theirs, missing):
        async with statements(db) as seen:
            answer = await ask(thing)
        told = {name: value for name, value in answer.json().items() if name not in ("request_id", "trace_id")}
        found.append((answer.status_code, str(told).replace(thing, "…"), list(seen)))
    assert found[0] == found[1]
    assert found[0][0] == 404
    assert bool(found[0][2]) is looks
