"""A mail server that never stops sending."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

AT_ONCE = 64 * 1024
REPLIES = {
    b"EHLO": b"250-mail\r\n250 SIZE 1000000\r\n",
    b"DATA": b"354 go on\r\n",
    b".": b"250 taken\r\n",
    b"QUIT": b"221 bye\r\n",
}


@dataclass
class EndlessMailServer:
    """On its first connection it answers `command` with its reply or, without `replies`, with none, and then sends
    `again` as fast as the client reads it. The command `.` is the end of a mail, an empty one is the greeting.
    Further connections are served in good order."""

    command: bytes
    replies: bool
    again: bytes
    port: int = 0
    connections: int = 0
    sent: int = 0
    """Bytes that the first connection has taken without end."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The client has left the first connection."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """After a reply it sends nothing more until this is set."""

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["EndlessMailServer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        first = self.connections == 1
        with suppress(ConnectionError, ssl.SSLError):
            await self._converse(reader, writer, first)
        if first:
            self.left.set()
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bool) -> None:
        command, in_content = b"", False
        while True:
            if not in_content or command == b".":
                in_content = command == b"DATA"
                endless = first and command == self.command
                if self.replies or not endless:
                    writer.write(REPLIES.get(command, b"250 OK\r\n") if command else b"220 mail\r\n")
                    await writer.drain()
                if endless:
                    if self.replies:
                        await self.go_on.wait()
                    await self._send_without_end(writer)
            line = await reader.readline()
            if not line:
                return
            command = line.split()[0].upper() if line.strip() else b"?"

    async def _send_without_end(self, writer: asyncio.StreamWriter) -> None:
        block = self.again * (AT_ONCE // len(self.again))
        while True:
            writer.write(block)
            await writer.drain()
            self.sent += len(block)
