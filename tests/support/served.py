"""The gateway with a real listener, for what an in-process client cannot do: disconnect, send slowly, or use odd
paths."""

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
"""The default of httpx is 5 s, which one step may take on a busy machine."""
S = TypeVar("S", bound=Server)


@contextlib.asynccontextmanager
async def served(app: ASGIApp, kind: type[S], protocol: type[FastPathProtocol] = FastPathProtocol) -> AsyncIterator[S]:
    """Run a server of this kind, with connections of this kind. Nothing is closed for being idle."""
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
    """Return the port of the server."""
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


@contextlib.asynccontextmanager
async def listening(app: ASGIApp, port: int = 0) -> AsyncIterator[int]:
    """Serve the application (its lifespan is already running), on any free port by default, and yield the port."""
    config = config_of(app, port=port, lifespan="off")
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
    """Shut down like the server itself, without its pauses, because no one connects at the last moment."""
    for listener in server.servers:
        listener.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    await eventually(lambda: not server.server_state.connections and not server.server_state.tasks)


def client(**settings: Any) -> httpx.AsyncClient:
    """Provide a client with timeouts longer than any step on a busy machine."""
    return httpx.AsyncClient(timeout=CLIENT_TIMEOUT_S, **settings)


async def exchange(port: int, request: bytes) -> bytes:
    """Send bytes, and read until the gateway closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
