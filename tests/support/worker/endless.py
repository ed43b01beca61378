"""A receiver of webhooks whose answer has no end."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 64 * 1024


@asynccontextmanager
async def endless(first: bytes, again: bytes = b"", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Its port. Each request is answered with `first`, and then with `again` as fast as the client reads it; without
    `again` with silence, until the client leaves."""
    block = again * (AT_ONCE // len(again)) if again else b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(first)
            while block:
                writer.write(block)
                await writer.drain()
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
