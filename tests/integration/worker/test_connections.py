"""No connection to RabbitMQ outlives whoever asked for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from services.worker.broker import rabbitmq
from shared.rabbitmq import LOST, Nodes
from tests.support.backends import RabbitBackend
from tests.support.link import Link
from tests.support.waiting import eventually

Opened = Callable[[Nodes, float], AbstractAsyncContextManager[object]]
WAYS = pytest.mark.parametrize("opened", [rabbitmq.connected, rabbitmq.publishing])


def still_connecting() -> list[str]:
    """The tasks of aio-pika that connect again whenever the connection is lost."""
    names = (getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks())
    return [name for name in names if name.startswith("RobustConnection.")]


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The URL of a server that takes connections and never says a word."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield f"amqp://guest:guest@127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@WAYS
async def test_cancelled_while_it_connects(silent: str, opened: Opened) -> None:
    """The process is told to end before RabbitMQ has answered."""
    entering = asyncio.ensure_future(opened(Nodes(silent), 0.01).__aenter__())
    await eventually(still_connecting)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert still_connecting() == []


@WAYS
async def test_no_answer_in_time(silent: str, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ hangs; the next attempt makes a connection of its own."""
    monkeypatch.setattr(rabbitmq, "CONNECT_TIMEOUT_S", 60)
    monkeypatch.setattr(rabbitmq, "DECLARE_TIMEOUT_S", 0.1)
    with pytest.raises(LOST):
        async with asyncio.timeout(0.1), opened(Nodes(silent), 0.01):
            pass
    assert still_connecting() == []


@WAYS
async def test_ended_while_rabbitmq_hangs(rabbitmq_link: Link, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed without the good-bye that RabbitMQ does not answer."""
    monkeypatch.setattr(rabbitmq, "STOP_TIMEOUT_S", 0.1)
    async with opened(Nodes(rabbitmq_link.url), 0.01):
        rabbitmq_link.silence()
    assert still_connecting() == []


@pytest.fixture
async def rabbitmq_link(request: pytest.FixtureRequest) -> AsyncIterator[Link]:
    backend: RabbitBackend = request.getfixturevalue("rabbitmq")
    async with Link.to(backend.url) as link:
        yield link
