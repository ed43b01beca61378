"""A client that reads only as much of its response as a test wants."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

KEPT_BYTES = 4096
"""The number of bytes that may be in transit beyond those that the client has read."""


@asynccontextmanager
async def asking(port: int, path: str, headers: Mapping[str, str]) -> AsyncIterator[asyncio.StreamReader]:
    """Send a GET, and yield the response."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KEPT_BYTES)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=KEPT_BYTES)
    lines = [f"GET {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    try:
        yield reader
    finally:
        writer.close()


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Return the rest of the response, until the server closes or aborts the connection."""
    rest = bytearray()
    try:
        while piece := await reader.read(65536):
            rest += piece
    except ConnectionError:
        pass
    return bytes(rest)
