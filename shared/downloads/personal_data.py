"""All that a service keeps of one person, as JSON: what a user may take away with them.

The rows are made into JSON by Postgres and sent as they come, from one snapshot of the database; nothing is held but
the rows on their way. What fails before the first of them is an ordinary error; what fails later breaks the response
off.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from asyncpg.cursor import Cursor
from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from shared.contracts.internal_api import PERSONAL_DATA_PATH
from shared.db.engine import Connection, Database
from shared.downloads.slots import DownloadSlot, DownloadSlots
from shared.errors import Unavailable
from shared.http.identity import CallerDep
from shared.outbox.service import DatabaseDep

ROWS_AT_ONCE = 500
MOST_AT_ONCE = 2
"""Exports of one process, each of another user; each holds a connection of the pool."""
TIMEOUT_S = 900.0
"""For all of one; a client that takes nothing is cut off much sooner, by the gateway."""


class ExportsBusy(Unavailable):
    code, title = "exports_busy", "As many exports as may be are on their way; try again"
    headers: ClassVar = {"Retry-After": "5"}


@dataclass(frozen=True)
class Part:
    """One member of the export. `query` has one argument, the user's id; each row becomes an object of its columns.

    `many`: a list of them; else the first, or null.
    """

    name: str
    query: str
    many: bool = True


class Exports:
    """What a service exports, for so many users at once and no more; one whose client is slow makes room for others."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._places = DownloadSlots(MOST_AT_ONCE, 1, own_full=ExportsBusy, all_full=ExportsBusy)

    def place(self, user_id: UUID) -> AbstractAsyncContextManager[DownloadSlot]:
        """Raises `ExportsBusy`."""
        return self._places.place(user_id)

    async def chunks(self, db: Database, user_id: UUID) -> AsyncGenerator[str, None]:
        """The pieces of one JSON object."""
        async with (
            db.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute("SET LOCAL timezone = 'UTC'")
            yield "{"
            for number, part in enumerate(self._parts):
                yield f'{"," if number else ""}"{part.name}":'
                async for chunk in _member(connection, part, user_id):
                    yield chunk
            yield "}"


async def _member(connection: Connection, part: Part, user_id: UUID) -> AsyncIterator[str]:
    rows: Cursor = await connection.cursor(
        f"SELECT row_to_json(part)::text FROM ({part.query}) AS part",  # noqa: S608  constants
        user_id,
    )
    found = await rows.fetch(ROWS_AT_ONCE)
    if not part.many:
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
    """Its head goes out with the first rows: what fails before is an ordinary error. The query ends with the response,
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


def export_route(parts: Sequence[Part]) -> APIRouter:
    """The route by which the gateway gathers an export."""
    exports = Exports(parts)
    router = APIRouter(include_in_schema=False)

    @router.get(PERSONAL_DATA_PATH)
    async def export(caller: CallerDep, db: DatabaseDep) -> ExportResponse:
        return ExportResponse(exports, db, caller.user_id)

    return router
