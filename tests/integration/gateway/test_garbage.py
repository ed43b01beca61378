"""Requests are freed by reference counts: the collector, which stops everything, has nothing to do."""

import asyncio
import gc
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from services.gateway.dashboard.pending import ClientDisconnected, DisconnectWatcher
from services.gateway.dashboard.wait import PanelWait
from shared.ids import new_id
from tests.support import garbage
from tests.support.backends import RabbitBackend
from tests.support.gateway.stub import answer_late, replies
from tests.support.gateway.world import Start, World
from tests.support.served import listening
from tests.support.waiting import eventually

MANY = 1000
OURS = ("shared.", "services.", "uvicorn.", "starlette.", "fastapi.")
OF_A_REQUEST = (ClientDisconnected, DisconnectWatcher, PanelWait, RequestResponseCycle)
SOME = 100
AT_ONCE = 10


@pytest.fixture
def collector() -> Iterator[None]:
    """Off, so that garbage can be counted."""
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def count_from_here() -> None:
    """What is alive now is not counted if it dies later: the gateway of an earlier test can be among it."""
    garbage.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)


async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    """One dashboard. A client of httpx makes garbage of its own."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    (length,) = re.findall(rb"content-length: (\d+)", head)
    await reader.readexactly(int(length))


async def read_many(port: int, request: bytes, count: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        await read(reader, writer, request)
    writer.close()
    await writer.wait_closed()


def request_of(world: World) -> bytes:
    (token,) = world.bearer(new_id()).values()
    return f"GET /v1/dashboard HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()


async def garbage_of(world: World, count: int, per_connection: int) -> list[object]:
    """The gateway's objects in cycles after so many dashboards. The event loop and the stubs make some of their own."""
    request = request_of(world)
    async with listening(world.app) as port:
        await read_many(port, request, 20)  # what is made once
        count_from_here()
        for _ in range(count // per_connection):
            await read_many(port, request, per_connection)
        gc.collect()
        return [each for each in gc.garbage if type(each).__module__.startswith(OURS)]


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize(("count", "per_connection"), [(MANY, MANY), (200, 1)])
async def test_dashboards_that_are_read(world: World, count: int, per_connection: int) -> None:
    """Each asks every service, on one connection or on one of its own."""
    assert await garbage_of(world, count, per_connection) == []


@pytest.mark.usefixtures("collector")
async def test_dashboards_from_memory(start: Start, rabbitmq: RabbitBackend) -> None:
    """No service is asked."""
    async with start(rabbitmq_url=rabbitmq.url) as world:
        await eventually(lambda: world.gateway.cache.enabled)
        assert await garbage_of(world, MANY, MANY) == []


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("per_connection", [SOME, 1])
async def test_dashboards_that_are_handed_over(start: Start, per_connection: int) -> None:
    """To the application, since a panel is missing."""
    async with start(breaker_min_calls=MANY, retry_share=0) as world:
        world.orders.behaviours["orders"] = replies(b"{}", 500)
        assert await garbage_of(world, SOME, per_connection) == []


async def leave(port: int, request: bytes) -> None:
    """While the answer is waited for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    with suppress(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    writer.transport.abort()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("call", [partial(read_many, count=1), leave], ids=["read", "left"])
async def test_dashboards_that_are_waited_for(start: Start, call: Callable[[int, bytes], Awaitable[None]]) -> None:
    """So long that the gateway looks whether the client is still there. A call to a service that is given up, since
    nobody waits for it any more, leaves some objects; the request leaves none."""
    async with start(watch_client_after_s=0.01) as world:
        for service in (world.users, world.orders, world.worker):
            service.behaviours |= dict.fromkeys(("user", "orders", "notifications", "analytics"), answer_late)
        request = request_of(world)
        async with listening(world.app) as port:
            await call(port, request)
            count_from_here()
            for _ in range(SOME // AT_ONCE):
                await asyncio.gather(*(call(port, request) for _ in range(AT_ONCE)))
            await eventually(lambda: not any(service.active for service in (world.users, world.orders, world.worker)))
            gc.collect()
    assert [each for each in gc.garbage if isinstance(each, OF_A_REQUEST)] == []
