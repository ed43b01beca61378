"""FastAPI with an HTTP client: four calls with `asyncio.gather`, spliced into one answer.

    python -m tools.lab.bench.peers.plain_gateway PORT BACKEND httpx|aiohttp

Tuned: uvicorn with uvloop and httptools, no access log; one client with keep-alive; panels are never parsed, and the
response is one byte string without a response model. A semaphore of the pool's size makes requests wait in FIFO order
before the pool. The httpx client sends through pyqwest's transport.

Tried with httpx and dropped: its own pool (httpcore). Each request checks every connection of the pool, with a system
call for each idle one, and every waiting request. With 512 connections a dashboard took 28,000 to 84,000 µs at 64
callers, and at 256 callers none was answered in 4 s. With 4 connections and a semaphore it answers, at twice the CPU of
pyqwest's transport. Pools of 4 to 512 connections differ by less than a third with pyqwest and with aiohttp, in one
round on a busy machine. orjson would not help, because no panel is decoded or encoded. Not tried: several panels per
call. No authentication.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Response
from pyqwest import HTTPTransport
from pyqwest.httpx import AsyncPyqwestTransport

PANELS = ("user", "orders", "notifications", "analytics")
CONNECTIONS = 32
TIMEOUT_S = 2
Get = Callable[[str], Awaitable[tuple[int, bytes]]]
"""Returns the status and body of a path. Raises `OSError`, `TimeoutError` or `httpx.HTTPError`."""


@asynccontextmanager
async def httpx_client(backend: str) -> AsyncIterator[Get]:
    sender = HTTPTransport(timeout=TIMEOUT_S, pool_max_idle_per_host=CONNECTIONS, enable_otel=False)
    transport = AsyncPyqwestTransport(sender)
    async with httpx.AsyncClient(base_url=backend, transport=transport, trust_env=False) as client:

        async def get(path: str) -> tuple[int, bytes]:
            answer = await client.get(path)
            return answer.status_code, answer.content

        yield get


@asynccontextmanager
async def aiohttp_client(backend: str) -> AsyncIterator[Get]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(backend, connector=connector, timeout=timeout) as client:

        async def get(path: str) -> tuple[int, bytes]:
            try:
                async with client.get(path) as answer:
                    return answer.status, await answer.read()
            except aiohttp.ClientError as error:
                raise OSError(path) from error

        yield get


CLIENTS = {"httpx": httpx_client, "aiohttp": aiohttp_client}


def create_app(backend: str, client: str) -> FastAPI:
    places = asyncio.Semaphore(CONNECTIONS)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with CLIENTS[client](backend) as get:
            app.state.get = get
            yield

    app = FastAPI(lifespan=lifespan)

    async def read(panel: str, user_id: str) -> bytes:
        try:
            async with places:
                status, body = await app.state.get(f"/panels/{panel}/{user_id}")
        except (OSError, TimeoutError, httpx.HTTPError):
            status, body = 0, b""
        if status == httpx.codes.OK:
            return b'"%s":{"status":"fresh","data":%s}' % (panel.encode(), body)
        return b'"%s":{"status":"unavailable","data":null}' % panel.encode()

    @app.get("/dashboard/{user_id}")
    async def dashboard(user_id: str) -> Response:
        found = await asyncio.gather(*(read(panel, user_id) for panel in PANELS))
        body = b'{"user_id":"%s","panels":{%s}}' % (user_id.encode(), b",".join(found))
        return Response(body, media_type="application/json")

    return app


if __name__ == "__main__":
    app = create_app(*sys.argv[2:4])
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, loop="uvloop", http="httptools")
