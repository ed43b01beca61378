"""FastAPI's own background tasks: nothing is stored, so a task is lost with its process.

uvicorn tools.lab.bench.peers.background_tasks:app · python -m tools.lab.bench.peers.background_tasks publish COUNT

Tuned: uvloop, httptools, no access log, a Unix socket, ten connections to Postgres, one prepared statement per event.
Each event is a request over one of a hundred connections with keep-alive, on which the next request does not wait for
the task of the one before. The sender repeats a request that got no response, also while nothing listens.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
from fastapi import BackgroundTasks, FastAPI, Request

from tools.lab.bench.peers import effect

SOCKET = os.environ.get("BENCH_SOCKET", "")
RETRY_S = 0.05


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(effect.DATABASE_URL, min_size=10, max_size=10) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


async def fold(pool: asyncpg.Pool, given: dict[str, Any]) -> None:
    async with pool.acquire() as connection:
        await connection.execute(effect.ASYNCPG, *effect.arguments(given))


@app.post("/events", status_code=202)
async def accept(given: dict[str, Any], tasks: BackgroundTasks, request: Request) -> None:
    tasks.add_task(fold, request.app.state.pool, given)


async def publish(count: int) -> None:
    events = effect.events(count)
    connector = aiohttp.UnixConnector(SOCKET, limit=effect.PREFETCH)
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as client, asyncio.TaskGroup() as all_:
        for _ in range(effect.PREFETCH):
            all_.create_task(_send(client, events))


async def _send(client: aiohttp.ClientSession, events: Iterator[dict[str, Any]]) -> None:
    for each in events:
        while not await _accepted(client, each):  # noqa: ASYNC110  by another process
            await asyncio.sleep(RETRY_S)


async def _accepted(client: aiohttp.ClientSession, event: dict[str, Any]) -> bool:
    try:
        async with client.post("http://app/events", json=event):
            return True
    except aiohttp.ClientConnectionError:
        return False


if __name__ == "__main__":
    asyncio.run(publish(effect.asked_to_publish()))
