"""Links with more kinds of faults: silent, holding data back, slow, or forgetting connections."""

import asyncio
from contextlib import suppress

from tests.support.link import CHUNK, Link
from tools.devstack.system.ports import free_port


class ChaosLink(Link):
    """A link with a port outside the range of outgoing connections, so that no client takes the port while the link is
    cut."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.port = free_port()
        self.delay_s = 0.0
        self.requests, self.answers = asyncio.Event(), asyncio.Event()
        self._era = 0
        self.flow()

    def flow(self) -> None:
        """Deliver the data that was held back."""
        self.delay_s = 0.0
        self.requests.set()
        self.answers.set()

    def forget(self) -> None:
        """Forget the current connections: they transfer nothing more and are never closed, as when a firewall or a
        machine fails."""
        self._era += 1

    async def reset(self) -> None:
        """Close the connections, with the data that was held back; new connections work."""
        await self.cut()
        self.flow()
        await self.mend()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: asyncio.Event) -> None:
        try:
            await super()._pipe(reader, writer, heard)
        except OSError:  # the server is down
            writer.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, allowed: asyncio.Event | None = None
    ) -> None:
        gate, era = self.answers if allowed else self.requests, self._era
        with suppress(OSError):
            while chunk := await source.read(CHUNK):
                await gate.wait()
                await self._while_forgotten(era)
                await asyncio.sleep(self.delay_s)
                sink.write(chunk)
                await sink.drain()
        await self._while_forgotten(era)
        sink.close()

    async def _while_forgotten(self, era: int) -> None:
        if era != self._era:
            await asyncio.Event().wait()
