"""A server that is told to end leaves no request unheard, and waits for nobody who has gone."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from shared.server.fast_path import FastPathProtocol
from shared.server.serve import Server
from tests.support.waiting import eventually

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LONG_S = 600.0
"""Longer than the test would be waited for: what ends before has not waited for it."""


class App:
    """Answers `ok`; a path other than `/` once it is let to."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked = 0

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.asked += 1
        if scope["path"] != "/":
            await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Running:
    def __init__(self, app: App, drain_s: float) -> None:
        config = uvicorn.Config(
            app, port=0, lifespan="off", http=FastPathProtocol, ws="none", log_config=None, timeout_keep_alive=10**9
        )
        config.load()
        self.app = app
        self.server = Server(config, drain_s)
        self.server.lifespan = config.lifespan_class(config)

    @property
    def port(self) -> int:
        port: int = self.server.servers[0].sockets[0].getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def running(drain_s: float = LONG_S) -> AsyncIterator[Running]:
    one = Running(App(), drain_s)
    await one.server.startup()
    yield one


async def test_who_waits_to_be_accepted_is_heard() -> None:
    """They had connected before the end began, and the kernel would have reset them."""
    async with running() as one:
        clients = [socket.create_connection(("127.0.0.1", one.port)) for _ in range(20)]
        ending = asyncio.create_task(one.server.shutdown())
        for client in clients:
            client.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=client)
            assert b"connection: close" in await _asked(reader, writer)
            assert await reader.read() == b""
            writer.close()
        await ending


async def test_nobody_can_connect_any_more() -> None:
    async with running() as one:
        port = one.port
        await one.server.shutdown()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_an_idle_connection_has_one_more_answer() -> None:
    """Which says that it is the last. Then the end waits no longer."""
    async with running() as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        assert b"connection: close" not in await _asked(reader, writer)
        ending = asyncio.create_task(one.server.shutdown())
        await eventually(lambda: not one.server.servers[0].is_serving())
        assert b"connection: close" in await _asked(reader, writer)
        await ending
        writer.close()


async def test_an_answer_under_way_is_the_last_of_its_connection() -> None:
    async with running() as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(REQUEST.replace(b"GET /", b"GET /later"))
        await eventually(lambda: one.app.asked == 1)
        ending = asyncio.create_task(one.server.shutdown())
        await eventually(lambda: not one.server.servers[0].is_serving())
        one.app.may_answer.set()
        assert b"connection: close" in await reader.readuntil(b"\r\n\r\nok")
        await ending
        writer.close()


async def test_who_says_nothing_is_closed_in_the_end() -> None:
    async with running(drain_s=0.1) as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        await one.server.shutdown()
        assert await reader.read() == b""
        writer.close()


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(REQUEST)
    return await reader.readuntil(b"\r\n\r\nok")
