"""Trailers of chunked responses (RFC 9112, section 7.1.2), which uvicorn does not send over HTTP/1.1.

An application announces them as ASGI says: `trailers: True` in `http.response.start`, and after the last of the body
one `http.response.trailers`. Where the scope has no such extension, it must not.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.types import Message, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

EXTENSION = "http.response.trailers"
Header = tuple[bytes, bytes]


def are_sent(scope: Scope) -> bool:
    """Whether this response may have trailers."""
    return EXTENSION in scope.get("extensions", {}) and scope["http_version"] == "1.1" and scope["method"] != "HEAD"


def message(trailers: Iterable[Header]) -> Message:
    return {"type": EXTENSION, "headers": list(trailers), "more_trailers": False}


class TrailersProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with trailers."""

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        cycle = self.cycle
        if cycle is not None and EXTENSION not in cycle.scope.setdefault("extensions", {}):
            cycle.scope["extensions"][EXTENSION] = {}
            cycle.send = _Sender(cycle).send  # type: ignore[method-assign,assignment]


class _Sender:
    """Holds back the end of a response until its trailers have come."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send: Callable[[Any], Awaitable[None]] = cycle.send
        self._expected = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._expected = bool(message.get("trailers"))
        if not self._expected:
            await self._send(message)
        elif message["type"] == EXTENSION:
            await self._end(message["headers"])
        else:
            await self._send({**message, "more_body": True} if "body" in message["type"] else message)

    async def _end(self, trailers: Iterable[Header]) -> None:
        """The last chunk, empty, with the trailers: to uvicorn, the last bytes of a body that is not chunked."""
        fields = b"".join(b"%s: %s\r\n" % field for field in trailers)
        last = b"0\r\n%s\r\n" % fields
        self._cycle.chunked_encoding, self._cycle.expected_content_length = False, len(last)
        await self._send({"type": "http.response.body", "body": last})
