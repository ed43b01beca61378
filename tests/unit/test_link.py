"""The link between a service and a server, which tests cut."""

import asyncio
from contextlib import suppress

import pytest

from tests.support.link import Link


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


async def ask(link: Link) -> None:
    """Connect, send something, and read until the connection is closed."""
    with suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"x")
        while await reader.read(1):
            pass
        writer.close()


@pytest.mark.parametrize("turns", range(8))
async def test_no_connection_survives_a_cut(turns: int) -> None:
    """This includes one that is being accepted: its client would wait for an answer until its own timeout."""
    async with (
        await asyncio.start_server(echo, "127.0.0.1", 0) as server,
        Link.to(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}") as link,
    ):
        clients = [asyncio.create_task(ask(link)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await link.cut()
        await asyncio.wait_for(asyncio.gather(*clients), 60)
