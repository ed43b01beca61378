"""A connection to a receiver of which only so many bytes are read, a small piece at a time.

Whatever the bytes are (interim responses, header lines, chunk extensions, trailers), they count. Each piece lets the
other tasks of the process run, also when the next one has already arrived.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
from httpcore import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

PIECE_BYTES = 4096
"""Parsed at once. The parser takes up to 10 ms for that many bytes of interim responses."""


class AnswerTooLong(httpcore.ReadError):
    """The receiver has sent as much as one answer may have, and goes on."""


class MeteredStream(AsyncNetworkStream):
    """Raises `AnswerTooLong` when more than `limit` bytes are read of it; what TLS adds does not count."""

    def __init__(self, stream: AsyncNetworkStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._left = limit

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  httpcore's signature
        if self._left <= 0:
            raise AnswerTooLong
        await asyncio.sleep(0)  # bytes that TLS has decrypted already are read without a wait
        piece = await self._stream.read(min(max_bytes, PIECE_BYTES, self._left), timeout)
        self._left -= len(piece)
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncNetworkStream:
        return MeteredStream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._limit)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class MeteredNetwork(AsyncNetworkBackend):
    """Connects as `network` does; `limit` is for each connection."""

    def __init__(self, network: AsyncNetworkBackend, limit: int) -> None:
        self._network = network
        self._limit = limit

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return MeteredStream(stream, self._limit)
