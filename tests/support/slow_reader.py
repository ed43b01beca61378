"""A client that reads of its answer only what a test reads."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

KEPT_BYTES = 4096
"""What may be on its way to the client beyond what it has read."""


@asynccontextmanager
async def asking(port: int, path: str, headers: Mapping[str, str]) -> AsyncIterator[asyncio.StreamReader]:
    """The answer to a GET."""
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
    """What is still to come, until the server closes the connection or breaks it off."""
    rest = bytearray()
    try:
        while piece := await reader.read(65536):
            rest += piece
    except ConnectionError:
        pass
    return bytes(rest)
