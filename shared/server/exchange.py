"""One request and its answer on a connection, where uvicorn's own exchange does not follow the RFCs."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sized
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

SMALL_BODY_BYTES = 64 * 1024
"""After an early answer so much of the body is read, so that the connection can be kept."""


class BodyExchange(RequestResponseCycle):
    """For requests with a body. An answer that comes before the end of a large one ends the connection."""

    is_small = False

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        if not self.response_started and self.more_body and not self.is_small:
            self.keep_alive = False
        return super().send(message)


class ClosingExchange(BodyExchange):
    """For HTTP/1.0, which has no chunks: an answer of unknown length ends with the connection."""

    _until_close = False

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        if message["type"] == "http.response.start":
            if not any(name.lower() == b"content-length" for name, _ in message.get("headers", ())):
                self._until_close, self.chunked_encoding, self.expected_content_length = True, False, sys.maxsize
        elif self._until_close and not message.get("more_body", False):
            self.expected_content_length = len(message.get("body", b""))
        return super().send(message)


class Flow(FlowControl):
    """Reads nothing while requests wait for their turn: their number would grow without bound."""

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
        """Forget the connection, which would keep itself alive otherwise."""
        self._close = None
