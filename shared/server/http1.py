"""Request parsing: uvicorn's protocol plus the parts of RFC 9110 and RFC 9112 that it leaves out.

- An upgrade offer is ignored. The request is read as if it had none.
- Trailers are discarded. Trailers and chunk extensions are limited.
- Pipelined requests are limited.
- A request has one `Host`; from HTTP/1.1 on it is required.
- Tunnels, transfer codings other than chunked and other versions of HTTP are refused.
"""

import asyncio
import re
import urllib.parse
from http import HTTPStatus
from typing import Any, NoReturn

import httptools
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from shared.server.closing import SMALL_BODY_BYTES, BodyExchange, ClosingExchange, ClosingProtocol

FRAMING_BYTES = 8 * 1024
"""The limit on chunk extensions and trailers of one message, counted in full reads."""
CHUNK_BYTES = 16
"""The size of a chunk and its line ends. Anything beyond that is an extension."""
MAX_WAITING = 128
"""The maximum number of pipelined requests on one connection."""

_NOTED = frozenset({b"expect", b"content-length", b"transfer-encoding", b"host"})
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
"""`uri-host [ ":" port ]`, which may be empty."""


class Refused(Exception):
    """Stops the parser. The status for the client is recorded."""


class Http1Protocol(ClosingProtocol):
    """uvicorn's protocol with these corrections."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._offered = False
        self._body_bytes = self._unread_bytes = self._chunks = self._framing_bytes = 0
        self._refusal = HTTPStatus.BAD_REQUEST

    def data_received(self, data: bytes) -> None:
        if not self._listens:
            self._ignore(data)
            return
        headers = None if self._awaits_head else self.headers
        accounted = self._body_bytes + CHUNK_BYTES * self._chunks
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.refuse(self._refusal)
            return
        if headers is self.headers and not self._awaits_head:  # the same message, before and after
            framing = len(data) - (self._body_bytes + CHUNK_BYTES * self._chunks - accounted)
            self._framing_bytes = max(0, self._framing_bytes + framing)
            if self._framing_bytes > FRAMING_BYTES:
                self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._ignore_offer()
                data = data[offer.args[0] :]
            else:
                return

    def _ignore_offer(self) -> None:
        """Read the head again without its `Upgrade`; the parser would treat the following data as another protocol."""
        first = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = b"".join(b"%s: %s\r\n" % field for field in self.headers if field[0] != b"upgrade")
        self._offered = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in uvicorn
        self.parser.feed_data(first + fields + b"\r\n")

    def on_message_begin(self) -> None:
        """Like uvicorn's, without a scope: not every request needs one."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._has_body, self._body_size, self._coding = False, 0, b""
        self._hosts: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if not self._awaits_head:  # a trailer
            if name == b"connection":
                raise Refused  # the parser would apply it
            return
        if name in _NOTED:
            self._note(name, value)
        self.headers.append((name, value))

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
            return
        if name == b"host":
            self._hosts.append(value)
            return
        self._has_body = True
        if name == b"transfer-encoding":
            self._coding += value.strip().lower()  # a repeated coding is not supported
        elif value.isdigit():
            self._body_size = int(value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offered = True
            return
        self.check_head()
        self._awaits_head = False
        self._body_bytes = self._unread_bytes = self._chunks = self._framing_bytes = 0
        self.come_in()

    def check_head(self) -> None:
        """Raises through `deny` if the request cannot be accepted."""
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            self.deny(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if self.parser.get_method() == b"CONNECT" or self._coding not in (b"", b"chunked"):
            self.deny(HTTPStatus.NOT_IMPLEMENTED)
        if not self._names_host():
            self.deny(HTTPStatus.BAD_REQUEST)
        if len(self.pipeline) >= MAX_WAITING:
            self.deny(HTTPStatus.TOO_MANY_REQUESTS)

    def _names_host(self) -> bool:
        """As RFC 9112, section 3.2, requires."""
        if not self._hosts:
            return self.parser.get_http_version() == "1.0"
        return len(self._hosts) == 1 and _HOST.fullmatch(self._hosts[0].strip()) is not None

    def deny(self, status: HTTPStatus) -> NoReturn:
        """Refuse the request whose head is being read."""
        self._refusal = status
        raise Refused

    def come_in(self) -> None:
        """Start the request, now or after those before it."""
        version = self.parser.get_http_version()
        self.scope = self.make_scope(self.parser.get_method(), self.url, self.headers, version)
        earlier, self.cycle = self.cycle, self._exchange(version)
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def make_scope(self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], version: str) -> HTTPScope:
        """Return the ASGI scope of a request on this connection."""
        url = httptools.parse_url(target)
        raw_path = url.path or b"/"  # an absolute URI may have none
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": method.decode("ascii"),
            "root_path": self.root_path,
            "path": self.root_path + (urllib.parse.unquote(path) if "%" in path else path),
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": url.query or b"",
            "headers": headers,
            "state": self.app_state.copy(),
        }

    def _exchange(self, version: str) -> RequestResponseCycle:
        kind: type[RequestResponseCycle] = BodyExchange if self._has_body else RequestResponseCycle
        exchange = self.make_cycle(
            ClosingExchange if version == "1.0" else kind,
            self.scope,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            expect_100_continue=self.expect_100_continue,
        )
        if isinstance(exchange, BodyExchange):
            exchange.is_small = self._body_size <= SMALL_BODY_BYTES and not self.expect_100_continue
        return exchange

    def make_cycle(
        self, kind: type[RequestResponseCycle], scope: HTTPScope, *, keep_alive: bool, expect_100_continue: bool = False
    ) -> RequestResponseCycle:
        """Return the application that answers a request."""
        transport: Any = self._line
        return kind(
            scope=scope,
            transport=transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._unread_bytes += len(body)
            if self._unread_bytes > SMALL_BODY_BYTES:
                self.deny(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._offered:
            return
        self._awaits_head = True
        super().on_message_complete()
