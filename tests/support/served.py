"""The gateway behind a real listener, for what an in-process client cannot do: leave, trickle, or write odd paths."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import httpx
from starlette.types import ASGIApp

from shared.server.fast_path import FastPathProtocol
from shared.server.serve import Server, config_of
from tests.support.waiting import eventually

CLIENT_TIMEOUT_S = 120.0
"""httpx gives up after 5 s, which a busy machine may take for a step."""
S = TypeVar("S", bound=Server)


@contextlib.asynccontextmanager
async def served(app: ASGIApp, kind: type[S], protocol: type[FastPathProtocol] = FastPathProtocol) -> AsyncIterator[S]:
    """A server of this kind that runs, with connections of this kind. Nothing is closed for being idle."""
    config = config_of(app, protocol, port=0, lifespan="off", timeout_keep_alive=10**9)
    server = kind(config)
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        yield server
    finally:
        server.should_exit = True
        await task


def port_of(server: Server) -> int:
    """The port on which it listens."""
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


@contextlib.asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[int]:
    """The port on which the application (its lifespan already running) is served."""
    config = config_of(app, port=0, lifespan="off")
    config.load()
    server = Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    ticking = asyncio.create_task(server.main_loop())
    try:
        yield port_of(server)
    finally:
        ticking.cancel()
        await asyncio.wait([ticking])
        await _closed(server)


async def _closed(server: Server) -> None:
    """As the server's own shutdown, without its pauses: here nobody connects at the last moment."""
    for listener in server.servers:
        listener.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    await eventually(lambda: not server.server_state.connections and not server.server_state.tasks)


def client(**settings: Any) -> httpx.AsyncClient:
    """Waits longer than any step takes on a busy machine."""
    return httpx.AsyncClient(timeout=CLIENT_TIMEOUT_S, **settings)


async def exchange(port: int, request: bytes) -> bytes:
    """Send bytes, and read until the gateway closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
