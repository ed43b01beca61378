"""Panel queries over HTTP/1.1, as cheap as they can be had: httptools reads the answers, nothing stands in between.

A general client costs several times as much a call (docs/decisions/0008), and a dashboard consists of such calls.
What passes through the gateway goes by the general client all the same.
"""

import asyncio
import ssl
import time
from collections import deque
from typing import cast
from urllib.parse import urlsplit

import httptools

from services.gateway import metrics
from services.gateway.failures import BadAnswer, NotTrusted, Refused, Unreachable
from shared.limits import IDLE_S

OK = 200
NOT_TRUSTED = (401, 403)
CLIENT_ERRORS = range(400, 500)
AROUND_BODY_BYTES = 256 * 1024
"""Of one exchange: provisional answers, heads, the framing of chunks and trailers."""


class Hangup(BadAnswer):
    """The connection ended; `unanswered` when that was before the first byte of an answer."""

    def __init__(self, reason: str, *, unanswered: bool) -> None:
        super().__init__(reason)
        self.unanswered = unanswered


class Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._max_bytes = 0
        self._received_bytes = 0
        self._answering = False
        self.idle_since = 0.0

    @property
    def is_usable(self) -> bool:
        return self._open() is not None

    async def exchange(self, request: bytes, max_bytes: int) -> bytes:
        """The body of the answer. Cancelled, it closes the connection. Raises `UpstreamFailed`."""
        transport = self._open()
        if transport is None:
            raise Hangup("closed before the question", unanswered=True)
        self._answer = asyncio.get_running_loop().create_future()
        self._max_bytes = max_bytes
        self._received_bytes = 0
        self._answering = False
        transport.write(request)
        try:
            return await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._answer = None

    def _open(self) -> asyncio.Transport | None:
        return None if self._transport is None or self._transport.is_closing() else self._transport

    def close(self) -> None:
        if self._transport:
            self._transport.abort()

    # -- what the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(Hangup(str(exc or "hung up"), unanswered=not self._answering))
        del self._parser  # it refers to this connection

    def data_received(self, data: bytes) -> None:
        self._answering = True
        if self._answer is None:  # nobody asked
            self.close()
            return
        self._received_bytes += len(data)
        if self._received_bytes > self._max_bytes + AROUND_BODY_BYTES:
            self._fail(BadAnswer(f"more than {AROUND_BODY_BYTES} bytes around the body"))
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as broken:
            self._fail(BadAnswer(str(broken)))
            self.close()

    # -- what the parser tells

    def on_message_begin(self) -> None:
        self._body = bytearray()
        if self._answer is None or self._answer.done():  # nobody asked for one more
            self.close()

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > self._max_bytes:
            self._fail(BadAnswer(f"more than {self._max_bytes} bytes"))
            self.close()

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < OK:  # a provisional answer: the real one follows
            return
        if not self._parser.should_keep_alive():
            self.close()
        if status == OK:
            self._succeed()
        elif status in NOT_TRUSTED:
            self._fail(NotTrusted(f"status {status}"))
        elif status in CLIENT_ERRORS:
            self._fail(Refused(f"status {status}"))
        else:
            self._fail(BadAnswer(f"status {status}"))

    def _succeed(self) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(bytes(self._body))

    def _fail(self, failure: BadAnswer) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(failure)


class Wire:
    """Connections to one base URL. As many as there are exchanges at a time; `most_idle` of them are kept after it."""

    def __init__(self, base_url: str, connect_timeout_s: float, most_idle: int) -> None:
        parts = urlsplit(base_url)
        self._secure = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._path = parts.path.rstrip("/")
        self._netloc = parts.netloc.rpartition("@")[2]
        self._connect_timeout_s = connect_timeout_s
        self._most_idle = most_idle
        self._idle: deque[Connection] = deque()
        self._closed = False
        self.busy = 0

    async def post(self, path: str, headers: str, body: bytes, max_bytes: int) -> bytes:
        """The body of a 200. `headers` are whole lines, each with its line end. Raises `UpstreamFailed`."""
        head = (
            f"POST {self._path}{path} HTTP/1.1\r\nHost: {self._netloc}\r\nContent-Type: application/json\r\n"
            f"{headers}Content-Length: {len(body)}\r\n\r\n"
        )
        request = head.encode("ascii") + body
        while (connection := self._kept()) is not None:
            try:
                return await self._exchange(connection, request, max_bytes)
            except Hangup as hangup:
                if not hangup.unanswered:
                    raise
                # The server had given it up meanwhile: what nobody read may be asked again.
        return await self._exchange(await self._connect(), request, max_bytes)

    def close(self) -> None:
        """Close what is idle; what is under way ends by being cancelled."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @property
    def idle(self) -> int:
        return len(self._idle)

    async def _exchange(self, connection: Connection, request: bytes, max_bytes: int) -> bytes:
        self.busy += 1
        try:
            return await connection.exchange(request, max_bytes)
        finally:
            self.busy -= 1
            self._keep(connection)

    def _kept(self) -> Connection | None:
        self._drop_idle_since(time.monotonic() - IDLE_S)
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
        return None

    def _drop_idle_since(self, oldest: float) -> None:
        """The longest idle come first."""
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().close()

    def _keep(self, connection: Connection) -> None:
        if not connection.is_usable:
            return
        if self._closed or len(self._idle) >= self._most_idle:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, self._host, self._port, ssl=self._secure
                )
        except TimeoutError as late:
            raise Unreachable("no connection in time") from late
        except (OSError, ssl.SSLError) as refused:
            raise Unreachable(str(refused)) from refused
        metrics.CONNECTIONS_OPENED.counts[(self._netloc,)] += 1
        return connection
