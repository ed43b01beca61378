"""What a service asks of its database: to compare the work of two requests, instead of their times."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa

from shared.db import Database


@asynccontextmanager
async def statements(db: Database) -> AsyncIterator[list[str]]:
    """Every statement of both ways to the database, as long as requests come one after another."""
    seen: list[str] = []

    def by_sqlalchemy(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    def by_asyncpg(record: Any) -> None:
        seen.append(record.query)

    sa.event.listen(db.engine.sync_engine, "before_cursor_execute", by_sqlalchemy)
    async with db.connection() as connection:  # which is handed out again, as it was given back last
        connection.add_query_logger(by_asyncpg)
    try:
        yield seen
        await asyncio.sleep(0)  # asyncpg tells its loggers in the next turn of the loop
    finally:
        sa.event.remove(db.engine.sync_engine, "before_cursor_execute", by_sqlalchemy)
        async with db.connection() as connection:
            connection.remove_query_logger(by_asyncpg)
