"""Answers ordinary requests inside the protocol, without an ASGI scope and without a task for each.

An application may have a `fast_path`. It is offered each ordinary HTTP/1.1 request that it wants: complete in one
piece, the only one in flight on its connection, with keep-alive, without an upgrade offer, `Expect` or chunks, and
while the server is not shutting down. Requests that it does not take go to the application, with the same result. It
may also hand over a request that it has taken, as long as it has not started to respond.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from shared.observability.logs import get_logger
from shared.server.closing import SMALL_BODY_BYTES, BodyExchange
from shared.server.connection import GuardedProtocol

log = get_logger(__name__)

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, in the order of arrival."""


class Exchange:
    """One request that is answered in the protocol, which treats it like one of uvicorn's own cycles.

    `url` is the request's target; `headers` and `body` are as received.
    """

    more_body = False
    waiting_for_100_continue = False

    def __init__(self, protocol: "FastPathProtocol") -> None:
        self.protocol = protocol
        self.method: bytes = protocol.parser.get_method()
        self.url: bytes = protocol.url
        self.headers: Headers = protocol.headers
        self.body: bytes = protocol.held_body
        self.keep_alive = True
        self.disconnected = self.response_started = self.response_complete = False

    @property
    def message_event(self) -> "Exchange":
        return self

    def set(self) -> None:
        """uvicorn's notification that something has happened: here only that the client has disconnected."""
        if self.disconnected and not self.response_complete:
            self.client_left()

    def client_left(self) -> None:
        """Called when the client has disconnected."""

    def respond(self, answer: bytes) -> None:
        """Write the whole response. Its head must contain `connection: close` unless `keep_alive`."""
        self.response_started = self.response_complete = True
        self.protocol.write_answer(answer, keep_alive=self.keep_alive)


class Answered(Exchange):
    """The exchange of every request that was answered immediately."""

    def __init__(self) -> None:
        self.keep_alive = self.response_started = self.response_complete = True
        self.disconnected = False


ANSWERED = Answered()


class FastPath(Protocol):
    """Interface with which an application answers requests itself. Both methods are called for every request: they must
    be cheap."""

    def wants(self, method: bytes, url: bytes) -> bool:
        """Return whether a request with this target may be taken."""

    def take(self, protocol: "FastPathProtocol") -> Exchange | None:
        """Start to answer the complete request that the protocol holds (`url`, `headers`, `held_body`).

        Returns `ANSWERED` after `write_answer`, an exchange that responds later, or None to leave it to the
        application. `additions` of the protocol are then added to the scope.
        """


_NOT_ORDINARY = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class FastPathProtocol(GuardedProtocol):
    """The protocol of all servers. Without a `fast_path` every request goes to the application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._fast_path: FastPath | None = getattr(self.app, "fast_path", None)
        self._holds = False
        self.held_body = b""
        self.additions: dict[str, Any] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.pipeline.clear()  # these refer to this connection, too
        self.cycle = self._running = ANSWERED  # type: ignore[assignment]  # it looks like one

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._holds:  # the rest of its body is still to come
            self._release()

    def refuse(self, status: HTTPStatus) -> None:
        if self._holds:
            self._release()
        super().refuse(status)

    def come_in(self) -> None:
        if self._fast_path is not None and self._is_ordinary(self._fast_path):
            self._holds, self.held_body = True, b""
        else:
            super().come_in()

    def on_body(self, body: bytes) -> None:
        if self._holds:
            self.held_body += body
            self._body_bytes += len(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._holds:
            exchange = self._take()
            if exchange is not None:
                if self._holds:  # otherwise it has been handed over
                    self.cycle = self._running = exchange  # type: ignore[assignment]  # it looks like one
                self._holds, self._awaits_head = False, True
                self._head_bytes, self._since = 0, None
                return
            self._release()
        super().on_message_complete()

    def write_answer(self, answer: bytes, *, keep_alive: bool = True) -> None:
        """Write the whole response to the request whose turn it is."""
        self.transport.write(answer)
        if not keep_alive:
            self._close_after_answer()
        self.on_response_complete()

    def hand_over(self, exchange: Exchange, additions: dict[str, Any]) -> None:
        """Give a request that was taken to the application after all."""
        scope = self.make_scope(exchange.method, exchange.url, exchange.headers, "1.1")
        scope.update(additions)  # type: ignore[typeddict-item]
        kind = BodyExchange if exchange.body else RequestResponseCycle
        cycle = self.make_cycle(kind, scope, keep_alive=exchange.keep_alive)
        cycle.body, cycle.more_body, cycle.disconnected = bytearray(exchange.body), False, exchange.disconnected
        cycle.message_event.set()
        if self._holds or self.cycle is exchange:  # type: ignore[comparison-overlap]  # else another has come meanwhile
            self.cycle, self._holds = cycle, False
        self._start_asgi_task(cycle, self.app)

    def _take(self) -> Exchange | None:
        try:
            return self._fast_path.take(self) if self._fast_path is not None else None
        except Exception:
            log.exception("request could not be answered in the protocol")
            return None

    def _release(self) -> None:
        """Give the held request to the application."""
        self._holds, body = False, self.held_body
        super().come_in()
        if self.additions:
            self.scope.update(self.additions)  # type: ignore[typeddict-item]
            self.additions = {}
        if body and not self._turned_away:
            self._body_bytes -= len(body)  # it is counted again
            super().on_body(body)

    def _is_ordinary(self, fast_path: FastPath) -> bool:
        parser, gate = self.parser, self._gate
        method = parser.get_method()
        return (
            fast_path.wants(method, self.url)
            and not self.pipeline
            and not self._is_answering()
            and not self.flow.write_paused
            and not self.ends
            and self._body_size <= SMALL_BODY_BYTES
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not (gate is not None and gate.is_shut(method, self.url))
            and _NOT_ORDINARY.isdisjoint([name for name, _ in self.headers])
        )
