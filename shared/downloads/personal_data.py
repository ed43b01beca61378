"""The export of all data that a service stores about one user, as JSON; its models declare it.

Postgres builds the JSON, which is streamed from one snapshot of the database; only the current rows are in memory. A
failure before the first row is an ordinary error; a later one breaks the response off.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import ClassVar
from uuid import UUID

from asyncpg.cursor import Cursor
from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.orm import DeclarativeBase
from starlette.types import Receive, Scope, Send

from shared.contracts.internal_api import PERSONAL_DATA_PATH
from shared.db.dependency import DatabaseDep
from shared.db.engine import Connection, Database
from shared.db.personal_data import export_of
from shared.downloads.slots import DownloadSlot, DownloadSlots
from shared.errors import Unavailable
from shared.http.identity import CallerDep

ROWS_AT_ONCE = 500
MOST_AT_ONCE = 2
"""Concurrent exports of one process, each of another user; each holds a connection of the pool."""
TIMEOUT_S = 900.0
"""The maximum duration of an export; the gateway cuts off a client that reads nothing much sooner."""


class ExportsBusy(Unavailable):
    code, title = "exports_busy", "Too many exports are running; try again"
    headers: ClassVar = {"Retry-After": "5"}


class Exports:
    """A service's export, for a maximum number of users at once; an export to a slow client is displaced by another
    user's."""

    def __init__(self, base: type[DeclarativeBase]) -> None:
        self._parts = export_of(base)
        self._places = DownloadSlots(MOST_AT_ONCE, 1, own_full=ExportsBusy, all_full=ExportsBusy)

    def place(self, user_id: UUID) -> AbstractAsyncContextManager[DownloadSlot]:
        """Raises `ExportsBusy`."""
        return self._places.place(user_id)

    async def chunks(self, db: Database, user_id: UUID) -> AsyncGenerator[str, None]:
        """Yield the pieces of one JSON object."""
        async with (
            db.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute("SET LOCAL timezone = 'UTC'")
            yield "{"
            for number, (part, query) in enumerate(self._parts):
                yield f'{"," if number else ""}"{part.name}":'
                async for chunk in _member(connection, query, user_id, many=part.many):
                    yield chunk
            yield "}"


async def _member(connection: Connection, query: str, user_id: UUID, *, many: bool) -> AsyncIterator[str]:
    rows: Cursor = await connection.cursor(
        f"SELECT row_to_json(part)::text FROM ({query}) AS part",  # noqa: S608  constants
        user_id,
    )
    found = await rows.fetch(ROWS_AT_ONCE)
    if not many:
        yield found[0][0] if found else "null"
        return
    yield "["
    separator = ""
    while found:
        yield separator + ",".join(row[0] for row in found)
        separator = ","
        found = await rows.fetch(ROWS_AT_ONCE)
    yield "]"


class ExportResponse(Response):
    """The head is sent with the first rows: an earlier failure is an ordinary error. The query ends with the response,
    however that ends."""

    def __init__(self, exports: Exports, db: Database, user_id: UUID) -> None:
        super().__init__()
        self._exports = exports
        self._db = db
        self._user_id = user_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chunks = self._exports.chunks(self._db, self._user_id)
        async with (
            self._exports.place(self._user_id) as place,
            aclosing(chunks),
            asyncio.timeout(TIMEOUT_S),
        ):
            body = _all(await anext(chunks), chunks)
            await StreamingResponse(body, media_type="application/json")(scope, receive, place.watched(send))


async def _all(first: str, others: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for chunk in others:
        yield chunk


def export_route(base: type[DeclarativeBase]) -> APIRouter:
    """The route from which the gateway reads an export of the models of this base. All must have been imported."""
    exports = Exports(base)
    router = APIRouter(include_in_schema=False)

    @router.get(PERSONAL_DATA_PATH)
    async def export(caller: CallerDep, db: DatabaseDep) -> ExportResponse:
        return ExportResponse(exports, db, caller.user_id)

    return router
