"""A TCP link to a server that a test can cut, restore and silence: an outage for one client, while the server runs
on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit

CHUNK = 64 * 1024


class Link:
    """`url` leads to the same server as the URL it was made from."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self.port = 0
        self._pipes: dict[asyncio.Task[None], asyncio.Event] = {}
        self._silent = False
        self._nonsense = False
        self.accepted = 0
        """The number of connections so far."""

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[Self]:
        link = cls(url)
        await link.mend()
        try:
            yield link
        finally:
            await link.cut()

    @property
    def url(self) -> str:
        credentials, at, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}").geturl()

    async def mend(self) -> None:
        """Accept connections from now on, at the same address, and forward them to the server."""
        if self._server is not None:
            await self.cut()
        self._silent = self._nonsense = False
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Close all connections, and refuse new ones."""
        if (server := self._server) is not None:
            self._server = None
            # A connection that is being accepted while its server closes would stay open, and nothing would serve it.
            for each in server.sockets:
                asyncio.get_running_loop().remove_reader(each.fileno())
            for _ in range(2):
                await asyncio.sleep(0)
            server.close()
        pipes = list(self._pipes)
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)

    def silence(self) -> None:
        """On the current connections, forward data to the server, and drop its responses."""
        for heard in self._pipes.values():
            heard.clear()

    def black_hole(self) -> None:
        """Do the same as `silence`, and on every new connection, until the link is cut and restored."""
        self._silent = True
        self.silence()

    async def talk_nonsense(self) -> None:
        """Close the current connections. Send random bytes on every new one, until the link is restored."""
        await self.cut()
        await self.mend()
        self._nonsense = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.accepted += 1
        heard = self._pipes[task] = asyncio.Event()
        if not self._silent:
            heard.set()
        try:
            if self._server is None:
                return  # it was cut after this connection had been accepted
            if self._nonsense:
                await _answer_nonsense(writer)
            else:
                await self._pipe(reader, writer, heard)
        except asyncio.CancelledError:
            pass  # cut: the end of this connection, not of the test
        finally:
            writer.transport.abort()
            del self._pipes[task]

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: asyncio.Event) -> None:
        assert self._parts.hostname
        upstream, onward = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, onward))
                group.create_task(self._pump(upstream, writer, heard))
        finally:
            for end in (writer, onward):
                end.transport.abort()
            for end in (writer, onward):
                with suppress(OSError):
                    await end.wait_closed()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, allowed: asyncio.Event | None = None
    ) -> None:
        with suppress(OSError):
            while chunk := await source.read(CHUNK):
                if allowed:
                    await allowed.wait()
                sink.write(chunk)
                await sink.drain()
        sink.close()


async def _answer_nonsense(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n{]\x00\xff" * 8)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
