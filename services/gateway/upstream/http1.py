"""A minimal HTTP/1.1 client for panels: httptools parses the responses, without further layers.

A general-purpose client costs several times as much per call (docs/decisions/0008), and a dashboard consists of such
calls. Responses are delivered by callbacks: a task and its wake-up cost as much as the call. Passed-through requests
use pyqwest.
"""

import asyncio
import ssl
import time
from collections import deque
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools

from services.gateway import metrics
from services.gateway.upstream.errors import BadAnswer, NotTrusted, Refused, Unreachable, UpstreamFailed
from shared.contracts.internal_api import IDLE_S

OK = 200
NOT_TRUSTED = (401, 403)
CLIENT_ERRORS = range(400, 500)
FRAMING = frozenset({b"content-length", b"transfer-encoding"})
"""The headers that say where a body ends. Without one it ends with the connection."""
AROUND_BODY_BYTES = 256 * 1024
"""The limit of one exchange on everything around the body: interim responses, heads, the framing of chunks and
trailers."""


Headers = list[tuple[bytes, bytes]]


class Receiver(Protocol):
    """Called once with the outcome of a request, unless it was cancelled."""

    def received(self, body: bytes) -> None:
        """Called with the body: of a 200 if the request was a query, and of any response if it was a GET."""

    def failed(self, failure: UpstreamFailed) -> None: ...


class Cancellable(Protocol):
    """A request in flight, as its sender sees it."""

    def cancel(self) -> None:
        """Deliver nothing more to the receiver."""


class Request:
    """One exchange in flight. `max_bytes` limits the body of its response. Of a GET it also has the status and the
    headers of the response."""

    __slots__ = ("connecting", "connection", "data", "headers", "max_bytes", "pool", "receiver", "status")

    def __init__(self, pool: "ConnectionPool", data: bytes, max_bytes: int, receiver: Receiver) -> None:
        self.pool = pool
        self.data = data
        self.max_bytes = max_bytes
        self.receiver: Receiver | None = receiver
        self.connection: Connection | None = None
        self.connecting: asyncio.Task[object] | None = None
        self.status = 0
        self.headers: Headers = []

    def cancel(self) -> None:
        """The response is no longer needed. The connection cannot be reused."""
        if self.receiver is None:
            return
        self.receiver = None
        self.pool.busy -= 1
        if self.connection is not None:
            self.connection.abort()
        elif self.connecting is not None:
            self.connecting.cancel()
            self.connecting = None  # its exception refers to this

    def succeed(self, body: bytes) -> None:
        receiver = self._end()
        if receiver is not None:
            receiver.received(body)

    def fail(self, failure: UpstreamFailed) -> None:
        receiver = self._end()
        if receiver is not None:
            receiver.failed(failure)

    def _end(self) -> Receiver | None:
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            self.pool.busy -= 1
        return receiver


class Connection:
    """One connection, with one exchange at a time.

    It has the methods of an `asyncio.Protocol` but does not inherit from it: mypyc compiles no subclass of one.
    """

    def __init__(self, pool: "ConnectionPool") -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._request: Request | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._body: list[bytes] = []
        self._body_bytes = self._received_bytes = 0
        self._status = 0
        self._answering = self._complete = self._surplus = self._is_kept = False
        self._used = False
        """It has carried an exchange before, so the server may have closed it by now."""
        self.idle_since = 0.0

    @property
    def is_usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: Request) -> None:
        """Start an exchange; the connection must be usable and idle."""
        self._request, request.connection = request, self
        self._received_bytes = 0
        self._answering = False
        if self._transport is not None:
            self._transport.write(request.data)

    def abort(self) -> None:
        self._request = None
        if self._transport is not None:
            self._transport.abort()

    # -- callbacks of the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is one in all but name
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = self._parser = None  # the parser refers to this connection
        request, self._request = self._request, None
        if request is None:
            return
        if self._used and not self._answering:
            self._pool.send(request)  # the server has not read it: it may be sent again
        else:
            request.fail(BadAnswer(str(exc or "connection closed")))

    def data_received(self, data: bytes) -> None:
        self._answering = True
        request, parser = self._request, self._parser
        if request is None or parser is None:  # no request is pending
            self.abort()
            return
        self._received_bytes += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as broken:
            self._break_off(BadAnswer(str(broken)))
            return
        if self._body_bytes > request.max_bytes:
            self._break_off(self._too_large(request.max_bytes))
        elif self._complete:
            self._conclude(request)
        elif self._received_bytes > request.max_bytes + AROUND_BODY_BYTES:
            self._break_off(BadAnswer(f"more than {AROUND_BODY_BYTES} bytes around the body"))

    def eof_received(self) -> None:
        """The server sends no more; the transport closes."""

    def pause_writing(self) -> None:
        """Requests are small: none is held back."""

    def resume_writing(self) -> None: ...

    # -- callbacks of the parser

    def on_message_begin(self) -> None:
        if self._complete:  # one response more than requested
            self._surplus = True
        else:
            self._body, self._body_bytes = [], 0

    def on_body(self, body: bytes) -> None:
        if not self._surplus:
            self._body.append(body)
            self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        if self._parser is not None and not self._surplus:
            self._status = self._parser.get_status_code()
            self._complete = self._status >= OK  # an interim response precedes the final one
            self._is_kept = self._parser.should_keep_alive()

    def _conclude(self, request: Request) -> None:
        self._complete, self._request = False, None
        status, body = self._status, self._body
        self._body = []
        if self._is_kept and not self._surplus:
            self._used = True
            self._pool.keep(self)
        else:
            self.abort()
        self._deliver(request, status, body[0] if len(body) == 1 else b"".join(body))

    def _deliver(self, request: Request, status: int, body: bytes) -> None:
        if status == OK:
            request.succeed(body)
        else:
            request.fail(_refusal(status))

    def _too_large(self, max_bytes: int) -> BadAnswer:
        return BadAnswer(f"more than {max_bytes} bytes")

    def _break_off(self, failure: BadAnswer) -> None:
        request = self._request
        self.abort()
        if request is not None:
            request.fail(failure)


class GetConnection(Connection):
    """A connection for GETs: it delivers every response, whatever its status, with its headers."""

    def __init__(self, pool: "ConnectionPool") -> None:
        super().__init__(pool)
        self._headers: Headers = []
        self._has_head = False

    def eof_received(self) -> None:
        """The server sends no more, which ends a body without a declared length."""
        request, parser = self._request, self._parser
        if request is None or parser is None or not (self._answering and self._has_head):
            return
        if parser.get_status_code() >= OK and not FRAMING & {name.lower() for name, _ in self._headers}:
            self._status, self._is_kept = parser.get_status_code(), False
            self._conclude(request)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._surplus:
            self._headers, self._has_head = [], False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._surplus:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._has_head = True

    def _deliver(self, request: Request, status: int, body: bytes) -> None:
        request.status, request.headers = status, self._headers
        request.succeed(body)

    def _too_large(self, max_bytes: int) -> BadAnswer:
        return Refused(f"more than {max_bytes} bytes")


def header_lines(headers: Headers) -> bytes:
    """Return these headers as lines. Raises `BadAnswer` for one that would end its line, and so forge another."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers) or b"\0" in lines:
        raise BadAnswer("a header of the request has a line end")
    return lines


def _refusal(status: int) -> UpstreamFailed:
    if status in NOT_TRUSTED:
        return NotTrusted(f"status {status}")
    return Refused(f"status {status}") if status in CLIENT_ERRORS else BadAnswer(f"status {status}")


class ConnectionPool:
    """Connections to one base URL: one for each concurrent exchange, of which `max_idle` are kept afterwards.

    They are for queries or, with `gets`, for GETs.
    """

    def __init__(self, base_url: str, connect_timeout_s: float, max_idle: int, *, gets: bool = False) -> None:
        parts = urlsplit(base_url)
        secure = ssl.create_default_context() if parts.scheme == "https" else None
        self._path = parts.path.rstrip("/")
        self._netloc = parts.netloc.rpartition("@")[2]
        self.base_url = base_url
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._secure = secure
        self._connect_timeout_s = connect_timeout_s
        self._max_idle = max_idle
        self._idle: deque[Connection] = deque()
        self._closed = False
        self._gets = gets
        self.busy = 0

    def post(self, path: str, headers: str, body: bytes, max_bytes: int, receiver: Receiver) -> Request:
        """Send a request; `headers` are complete lines, each with its line end. The receiver is called before this
        returns only if nothing can be sent."""
        head = (
            f"POST {self._path}{path} HTTP/1.1\r\nHost: {self._netloc}\r\nContent-Type: application/json\r\n"
            f"{headers}Content-Length: {len(body)}\r\n\r\n"
        )
        return self._begin(head.encode("ascii") + body, max_bytes, receiver)

    def get(self, target: bytes, headers: bytes, max_bytes: int, receiver: Receiver) -> Request:
        """Send a GET; `target` is the whole path with its query, and `headers` are complete lines. The receiver is
        called as with `post`."""
        head = b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, self._netloc.encode("ascii"), headers)
        return self._begin(head, max_bytes, receiver)

    def _begin(self, data: bytes, max_bytes: int, receiver: Receiver) -> Request:
        request = Request(self, data, max_bytes, receiver)
        self.busy += 1
        self.send(request)
        return request

    def send(self, request: Request) -> None:
        """Send it on an idle connection, or on a new one."""
        connection = self._kept()
        if connection is not None:
            connection.send(request)
        else:
            request.connection = None
            self._connect(request)

    def keep(self, connection: Connection) -> None:
        """Keep the connection for the next exchange."""
        if self._closed or len(self._idle) >= self._max_idle:
            connection.abort()
        elif connection.is_usable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)

    def close(self) -> None:
        """Close idle connections; exchanges in flight end by being cancelled."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    @property
    def idle(self) -> int:
        return len(self._idle)

    def _connect(self, request: Request) -> None:
        """Open a connection and send the request on it. A request that cannot be sent fails as `Unreachable`."""
        loop, connection = asyncio.get_running_loop(), GetConnection(self) if self._gets else Connection(self)
        opening = loop.create_task(
            loop.create_connection(
                lambda: cast("asyncio.Protocol", connection), self._host, self._port, ssl=self._secure
            )
        )
        timer = loop.call_later(self._connect_timeout_s, opening.cancel)

        def opened(task: asyncio.Task[object]) -> None:
            timer.cancel()
            request.connecting = None  # it refers to the request
            error = None if task.cancelled() else task.exception()
            if task.cancelled() or request.receiver is None:
                connection.abort()
                request.fail(Unreachable("no connection in time"))  # unless the request itself was cancelled
            elif error is not None or not connection.is_usable:
                request.fail(Unreachable(str(error or "connection closed")))
            else:
                metrics.CONNECTIONS_OPENED.counts[(self._netloc,)] += 1
                connection.send(request)

        request.connecting = opening
        opening.add_done_callback(opened)

    def _kept(self) -> Connection | None:
        idle = self._idle
        if idle and idle[0].idle_since < (oldest := time.monotonic() - IDLE_S):
            while idle and idle[0].idle_since < oldest:  # the longest idle come first
                idle.popleft().abort()
        while idle:
            connection = idle.pop()
            if connection.is_usable:
                return connection
        return None
