"""No connection to RabbitMQ outlives whoever asked for it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from services.worker.broker import rabbitmq
from shared.rabbitmq import LOST, Nodes
from tests.support.backends import RabbitBackend
from tests.support.link import Link
from tests.support.waiting import eventually

Connecting = Callable[[], "set[asyncio.Task[object]]"]


@pytest.fixture
async def still_connecting() -> Connecting:
    """The tasks of aio-pika that this test has started, which connect again whenever a connection is lost."""

    def running() -> set[asyncio.Task[object]]:
        tasks = asyncio.all_tasks()
        return {task for task in tasks if getattr(task.get_coro(), "__qualname__", "").startswith("RobustConnection.")}

    before = running()
    return lambda: running() - before


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The URL of a server that takes connections and never says a word."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield f"amqp://guest:guest@127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_cancelled_while_it_connects(silent: str, still_connecting: Connecting) -> None:
    """The process is told to end before RabbitMQ has answered."""
    entering = asyncio.ensure_future(rabbitmq.connected(Nodes(silent), 0.01).__aenter__())
    await eventually(still_connecting)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert not still_connecting()


async def test_no_answer_in_time(silent: str, still_connecting: Connecting, monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ hangs; the next attempt makes a connection of its own."""
    monkeypatch.setattr(rabbitmq, "CONNECT_TIMEOUT_S", 60)
    with pytest.raises(LOST):
        async with asyncio.timeout(0.1), rabbitmq.connected(Nodes(silent), 0.01):
            pass
    assert not still_connecting()


async def test_ended_while_rabbitmq_hangs(
    rabbitmq_link: Link, still_connecting: Connecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed without the good-bye that RabbitMQ does not answer."""
    monkeypatch.setattr(rabbitmq, "STOP_TIMEOUT_S", 0.1)
    async with rabbitmq.connected(Nodes(rabbitmq_link.url), 0.01):
        rabbitmq_link.silence()
    assert not still_connecting()


@pytest.fixture
async def rabbitmq_link(request: pytest.FixtureRequest) -> AsyncIterator[Link]:
    backend: RabbitBackend = request.getfixturevalue("rabbitmq")
    async with Link.to(backend.url) as link:
        yield link
