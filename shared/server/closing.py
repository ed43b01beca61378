"""How a connection is closed: after all pending responses, and so that the last one arrives.

- A refused request is answered after the requests before it.
- If the client is still sending, the server closes its own direction and keeps reading for a limited time and amount.
  Closing with unread data would reset the connection, and the client would lose the response.
- A response that breaks off resets the connection, so that a client without chunked framing notices it, too.

The exchanges are single requests and their responses, where uvicorn's own cycle does not follow the RFCs.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable, Coroutine, Sized
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from shared import errors

SMALL_BODY_BYTES = 64 * 1024
"""After an early response this much of the body is read, so that the connection can be kept."""
LINGER_S = 10.0
LINGER_BYTES = 64 * 1024 * 1024
"""How long, and how much, a connection is read after its last response."""
_RESET = struct.pack("ii", 1, 0)


class BodyExchange(RequestResponseCycle):
    """For requests with a body. A response before the end of a large body closes the connection."""

    is_small = False

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        if not self.response_started and self.more_body and not self.is_small:
            self.keep_alive = False
        return super().send(message)


class ClosingExchange(BodyExchange):
    """For HTTP/1.0, which has no chunks: a response of unknown length ends with the connection."""

    _until_close = False

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        if message["type"] == "http.response.start":
            if not any(name.lower() == b"content-length" for name, _ in message.get("headers", ())):
                self._until_close, self.chunked_encoding, self.expected_content_length = True, False, sys.maxsize
        elif self._until_close and not message.get("more_body", False):
            self.expected_content_length = len(message.get("body", b""))
        return super().send(message)


class Flow(FlowControl):
    """Stops reading while requests wait for their turn: their number would otherwise grow without limit."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class ExchangeTransport(asyncio.Transport):
    """The part of a transport that an exchange uses. The connection decides how it is closed."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        super().__init__()
        self.write = transport.write  # type: ignore[method-assign]
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self._close: Callable[[], None] | None = close

    def close(self) -> None:
        if self._close:
            self._close()

    def detach(self) -> None:
        """Drop the reference to the connection, which would otherwise keep itself alive."""
        self._close = None


class ClosingProtocol(HttpToolsProtocol):
    """uvicorn's protocol with this closing behaviour."""

    linger_s = LINGER_S
    linger_bytes = LINGER_BYTES

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow: Flow = Flow(transport, self.pipeline)
        self._line = ExchangeTransport(transport, self._close_after_answer)
        self._running: RequestResponseCycle | None = None
        """Return the exchange whose turn it is."""
        self._awaits_head = True
        self._listens = True
        """False: the client's data is discarded."""
        self._ignored_bytes = 0
        self._last_answer: HTTPStatus | None = None
        self._lingers = False
        self.idle_since = self.loop.time()
        """When the last response was complete."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.detach()
        self._disconnect()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if self._lingers:
            self.transport.close()
        else:
            super().shutdown()

    def refuse(self, status: HTTPStatus) -> None:
        """Answer the request that is being read with this status, after those before it, and read no more requests."""
        refused = None if self._awaits_head else self.cycle
        self._listens = False
        if refused is not None and refused is not self._running:  # it waits for its turn, which it does not get
            self.pipeline.popleft()
        elif refused is not None and not refused.response_complete:
            self._disconnect()
            if refused.response_started:
                self.reset()
            else:
                self._end_with(status)
            return
        if self._is_answering():
            self._last_answer = status
        else:
            self._end_with(None if refused is not None and refused is self._running else status)

    def on_response_complete(self) -> None:
        """Start the next request like uvicorn, but without a timer per response: `idle_since` is checked instead."""
        self.server_state.total_requests += 1
        if self._lingers or self.transport.is_closing():
            return
        if not self._listens and not self.pipeline:
            self._end_with(self._last_answer)
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.idle_since = self.loop.time()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: object) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]

    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _disconnect(self) -> None:
        """Notify the application that its client has disconnected."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _close_after_answer(self) -> None:
        """Called by an exchange to end its connection."""
        running = self._running
        if running is not None and not running.response_complete:
            self.reset()
        elif self._listens and (running is None or not running.more_body):
            self.transport.close()
        else:
            self._end_with(None)

    def _end_with(self, status: HTTPStatus | None) -> None:
        """Write the last response, if any, and read until the client closes, too."""
        if status is not None:
            self.transport.write(_problem(status))
        self._listens, self._lingers = False, True
        self.pipeline.clear()
        self.flow.resume_reading()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.linger_s, self.reset)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _ignore(self, data: bytes) -> None:
        self._ignored_bytes += len(data)
        if self._ignored_bytes > self.linger_bytes:
            self.reset()

    def reset(self) -> None:
        """Close at once. The client learns that nothing more will come."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


def _problem(status: HTTPStatus) -> bytes:
    code = status.phrase.lower().replace(" ", "_")
    body = msgspec.json.encode(errors.problem(status, code, status.phrase, status.description or status.phrase))
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
