"""The body of a CSV download on its way to the client, compressed if the client accepts it."""

import asyncio
import time
import zlib
from dataclasses import dataclass

from starlette.types import Message, Send

GZIP_LEVEL = 1
GZIP_FORMAT = 31
"""zlib's value for the largest window in a gzip file."""
PIECE_BYTES = 64 * 1024
"""The buffer size before sending: Postgres writes 8 KB at a time, and every piece costs each process on the way."""
SILENCE_S = 1.0
"""After this time a smaller buffer is sent, too."""
IN_THREAD_BYTES = 16 * 1024
"""From this size on, compressing would block other requests for longer than handing it to a thread costs."""


@dataclass(frozen=True)
class Start:
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
