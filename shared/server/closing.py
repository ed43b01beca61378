"""How a connection ends: after the answers that are due, and so that the last one arrives.

- A refused request is answered after the requests before it.
- When the client still sends, the server ends its own direction and reads on for a bounded time and amount. A close
  with unread data would reset the connection, and the client would lose the answer.
- An answer that breaks off resets the connection, so that a client without chunked framing notices it, too.
"""

import asyncio
import socket
import struct
from http import HTTPStatus

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from shared import errors
from shared.server.exchange import ExchangeTransport, Flow

LINGER_S = 10.0
LINGER_BYTES = 64 * 1024 * 1024
"""How long, and how much, a connection is read after its last answer."""
_RESET = struct.pack("ii", 1, 0)


class ClosingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which ends as this module says."""

    linger_s = LINGER_S
    linger_bytes = LINGER_BYTES

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow: Flow = Flow(transport, self.pipeline)
        self._line = ExchangeTransport(transport, self._close_after_answer)
        self._running: RequestResponseCycle | None = None
        """The exchange whose turn it is."""
        self._awaits_head = True
        self._listens = True
        """False: the client's data is thrown away."""
        self._ignored_bytes = 0
        self._last_answer: HTTPStatus | None = None
        self._lingers = False
        self.idle_since = self.loop.time()
        """When the last answer was complete."""

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
        """Answer the request that is being read with this status, after those before it. Read no other."""
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
        """Begin the next request. As uvicorn's, without a timer for each answer: `idle_since` is looked at instead."""
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
        """Tell the application that its client is gone."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _close_after_answer(self) -> None:
        """An exchange asks for the end of its connection."""
        running = self._running
        if running is not None and not running.response_complete:
            self.reset()
        elif self._listens and (running is None or not running.more_body):
            self.transport.close()
        else:
            self._end_with(None)

    def _end_with(self, status: HTTPStatus | None) -> None:
        """Give the last answer, if there is one, and read until the client closes, too."""
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
