"""The gateway behind a real listener, for what an in-process client cannot do: leave, trickle, or write odd paths."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI

from shared.connection import GuardedProtocol
from shared.serve import Server
from tests.support.waiting import eventually


@contextlib.asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[int]:
    """The port on which the application (its lifespan already running) is served."""
    config = uvicorn.Config(
        app, port=0, lifespan="off", http=GuardedProtocol, ws="none", log_config=None, access_log=False
    )
    server = Server(config)
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        port: int = server.servers[0].sockets[0].getsockname()[1]
        yield port
    finally:
        server.should_exit = True
        await task


async def exchange(port: int, request: bytes) -> bytes:
    """Send bytes, and read until the gateway closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
