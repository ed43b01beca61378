"""Model servers of the simulation on a real port, for clients in a real event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol


class Model(Protocol):
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...

    def cut_all(self) -> None: ...


@asynccontextmanager
async def served_model(model: Model) -> AsyncIterator[str]:
    """Serve the model within the block, and provide its address as `host:port`. Raises what a connection has raised."""
    failures: list[Exception] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await model.serve(reader, writer)
        except Exception as failure:
            failures.append(failure)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        model.cut_all()
        await server.wait_closed()
    if failures:
        raise failures[0]
