"""A query's rows as a CSV download: the output of `COPY` is streamed to the client as fast as the client reads.

Only the current chunk is in memory. Each download has its own database connection, so it takes none from other
requests, and closing that connection ends the query however the download ends. The body is compressed if the client
accepts it.
"""

import asyncio
import re
import time
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import Depends
from prometheus_client import Counter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from shared.contracts.reports import DownloadsBusy, Form, TooManyDownloads
from shared.db.engine import CONNECT_TIMEOUT_S, DatabaseSettings, connect
from shared.downloads.slots import DownloadSlot, DownloadSlots
from shared.http.negotiation import accepts_gzip, asked_method
from shared.server.background import until

Write = Callable[[bytes], Coroutine[Any, Any, None]]

GZIP_LEVEL = 1
GZIP_FORMAT = 31
"""zlib's value for the largest window in a gzip file."""
PIECE_BYTES = 64 * 1024
"""The buffer size before sending: Postgres writes 8 KB at a time, and every piece costs each process on the way."""
SILENCE_S = 1.0
"""After this time a smaller buffer is sent, too."""
IN_THREAD_BYTES = 16 * 1024
"""From this size on, compressing would block other requests for longer than handing it to a thread costs."""

PER_USER = 2
"""Concurrent report downloads of one user; more are answered 429."""
TIMEOUT_S = 900.0
"""The maximum duration of one report, and of its Postgres query."""
STALL_S = 30.0
"""How long a client may take to read the next piece of a report (up to 256 KB) before it is cut off."""
LOOK_FOR_US_EVERY = "1s"
"""How soon Postgres notices that the connection was closed while it has nothing to write. A cancel request would not
reach a query that waits for its client to read."""
BYTE_ORDER_MARK = "\ufeff".encode()
"""The start of a file; without it Excel does not read UTF-8."""

WHITE_SPACE = "".join(f"\\u{code:04x}" for code in range(0x3001) if chr(code).isspace())
SIGNS = "".join(f"\\u{ord(sign):04x}" for sign in "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b")
"""Characters that start a formula; East Asian versions of spreadsheets also accept the full-width and small forms."""
BREAKS = r"\t\r\n"
FORMULA = rf"^(?=[{WHITE_SPACE}]*[{SIGNS}]|[{BREAKS}])|(?<=[;{BREAKS}])(?=[{WHITE_SPACE}]*[{SIGNS}])"
"""Where a formula can begin, for Python and Postgres. Spreadsheets that separate cells by semicolons or tabs split a
text there as well, and then a quotation mark does not keep lines together."""
_FORMULA = re.compile(FORMULA)

DOWNLOADS = Counter(
    "downloads_total",
    "Report downloads by outcome: whole, left by the client, displaced by another account, failed (or too slow).",
    ["kind", "outcome"],
)


class ExportSettings(DatabaseSettings):
    """The settings of a service that has reports."""

    downloads: int = Field(4, ge=1)
    """Concurrent report downloads. One more takes the slot of a user who holds several or whose client reads
    slowly; if there is none, it is answered 503."""


@dataclass(frozen=True)
class Export:
    """A query, its arguments, the file name of the download, and its user."""

    kind: str
    query: str
    arguments: tuple[object, ...]
    filename: str
    form: Form = "spreadsheet"


@dataclass(frozen=True)
class Start:
    """The head of a response."""

    status: int
    headers: list[tuple[bytes, bytes]]


class Body:
    """The sent part of one response. Waits for a slow client; raises `TimeoutError` if it has read nothing for too
    long."""

    def __init__(self, send: Send, start: Start, stall_s: float, *, gzip: bool) -> None:
        self._to_client = send
        self._start = start
        self._stall_s = stall_s
        self._compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_FORMAT) if gzip else None
        self._gathered = bytearray()
        self._sent_at = time.monotonic()
        self._started = False

    async def write(self, chunk: bytes) -> None:
        if not self._started:
            self._started = True
            head = {"status": self._start.status, "headers": self._start.headers}
            await self._send({"type": "http.response.start", **head})
        self._gathered += chunk
        if len(self._gathered) >= PIECE_BYTES or time.monotonic() - self._sent_at > SILENCE_S:
            await self._send_gathered()

    async def end(self) -> None:
        await self._send_gathered()
        rest = self._compressor.flush() if self._compressor else b""
        await self._send({"type": "http.response.body", "body": rest, "more_body": False})

    async def _send_gathered(self) -> None:
        self._sent_at = time.monotonic()
        piece = bytes(self._gathered)
        self._gathered.clear()
        if encoded := await self._encoded(piece):
            await self._send({"type": "http.response.body", "body": encoded, "more_body": True})

    async def _encoded(self, chunk: bytes) -> bytes:
        if self._compressor is None:
            return chunk
        if len(chunk) < IN_THREAD_BYTES:
            return self._compressor.compress(chunk)
        return await asyncio.to_thread(self._compressor.compress, chunk)

    async def _send(self, message: Message) -> None:
        async with asyncio.timeout(self._stall_s):
            await self._to_client(message)


class Exporter:
    """Sends exports, up to a maximum number at a time; accounts share the places."""

    def __init__(
        self,
        settings: ExportSettings,
        *,
        per_user: int = PER_USER,
        timeout_s: float = TIMEOUT_S,
        stall_s: float = STALL_S,
    ) -> None:
        self._database_url = settings.database_url
        self._timeout_s = timeout_s
        self.stall_s = stall_s
        self._places = DownloadSlots(settings.downloads, per_user, own_full=TooManyDownloads, all_full=DownloadsBusy)

    def response(self, request: Request, user_id: UUID, export: Export) -> "CsvResponse":
        return CsvResponse(self, user_id, export, gzip=accepts_gzip(request.scope["headers"]))

    def place(self, user_id: UUID) -> AbstractAsyncContextManager[DownloadSlot]:
        """Raises `TooManyDownloads`, `DownloadsBusy`."""
        return self._places.place(user_id)

    async def copy(self, export: Export, body: Body) -> None:
        """Write the export, its header included."""
        write = _after_mark(body.write) if export.form == "spreadsheet" else body.write
        async with asyncio.timeout(self._timeout_s), self._connection() as connection:
            await connection.copy_from_query(export.query, *export.arguments, output=write, format="csv", header=True)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await connect(
            self._database_url,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={
                "statement_timeout": f"{self._timeout_s * 1000:.0f}",
                "client_connection_check_interval": LOOK_FOR_US_EVERY,
            },
        )
        try:
            yield connection
        finally:
            connection.terminate()


def _after_mark(write: Write) -> Write:
    """The byte order mark is sent with the first rows, so that earlier failures are ordinary errors."""
    mark = BYTE_ORDER_MARK

    async def marked(chunk: bytes) -> None:
        nonlocal mark
        chunk, mark = mark + chunk, b""
        await write(chunk)

    return marked


async def _exporter(request: Request) -> Exporter:
    exporter: Exporter = request.app.state.exporter
    return exporter


ExporterDep = Annotated[Exporter, Depends(_exporter)]


class CsvResponse(Response):
    """One export as a response. Its head is sent with the first rows: an earlier failure is an ordinary error, a later
    failure or timeout breaks the response off."""

    media_type = "text/csv"

    def __init__(self, exporter: Exporter, user_id: UUID, export: Export, *, gzip: bool) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._exporter = exporter
        self._user_id = user_id
        self._export = export
        self._gzip = gzip
        self.headers["Content-Disposition"] = f'attachment; filename="{export.filename}"'
        self.headers["Cache-Control"] = "private, no-store"
        self.headers["Vary"] = "Accept-Encoding"
        if gzip:
            self.headers["Content-Encoding"] = "gzip"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if asked_method(scope) == "HEAD":
            await super().__call__(scope, receive, send)
            return
        async with self._exporter.place(self._user_id) as place:
            with self._counted(place):
                await until(_gone(receive), self._send(place.watched(send)))

    @contextmanager
    def _counted(self, place: DownloadSlot) -> Iterator[None]:
        self._outcome = "left"
        try:
            yield
        except Exception:
            self._outcome = "failed"
            raise
        finally:
            DOWNLOADS.labels(self._export.kind, "displaced" if place.is_lost else self._outcome).inc()

    async def _send(self, send: Send) -> None:
        start = Start(self.status_code, self.raw_headers)
        body = Body(send, start, self._exporter.stall_s, gzip=self._gzip)
        await self._exporter.copy(self._export, body)
        await body.end()
        self._outcome = "whole"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def formula_safe(text: str) -> str:
    """Return the text as a cell that no spreadsheet reads as a formula: with a `'` before every part that begins like
    one, also after white space and in later items of a list."""
    return _FORMULA.sub("'", text)


def formula_safe_sql(expression: str) -> str:
    """Return SQL for the text as `formula_safe` writes it."""
    return f"regexp_replace({expression}, '{FORMULA}', '''', 'g')"
