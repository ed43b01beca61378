"""The worker's connections to RabbitMQ, and a check whether RabbitMQ is healthy."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aio_pika
from yarl import URL

from shared.contracts import topology
from shared.contracts.topology import JobQueue
from shared.observability.logs import get_logger
from shared.outbox.publisher import DECLARE_TIMEOUT_S as DECLARE_TIMEOUT_S
from shared.rabbitmq import LOST, Nodes

log = get_logger(__name__)

CONNECT_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 2.0


@asynccontextmanager
async def connected(nodes: Nodes, reconnect_s: float) -> AsyncIterator[aio_pika.RobustConnection]:
    """Open a connection that reconnects by itself until the end of the block. Raises `LOST`.

    The connection is made here, and not by FastStream, because it has to be closed even if it was never established:
    a connection of aio-pika whose first attempt is cancelled keeps trying, and the event loop never ends.
    """
    connection = aio_pika.RobustConnection(nodes.next(), reconnect_interval=reconnect_s)
    try:
        await connection.connect(timeout=CONNECT_TIMEOUT_S)
        connection.close_callbacks.add(partial(_turn, nodes))
        yield connection
    finally:
        await bounded(connection.close())


def _turn(nodes: Nodes, connection: Any, *_: object) -> None:
    """Point aio-pika to the URL that it tries next."""
    connection.url = nodes.next()


async def bounded(stopping: Awaitable[object]) -> None:
    """Shut down gracefully, unless the broker no longer responds."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await stopping
    except Exception as error:
        log.debug("broker not stopped gracefully", error=repr(error))


async def answers(nodes: Nodes, queues: Sequence[JobQueue]) -> bool:
    """Return whether a new connection finds every queue: then RabbitMQ is healthy, and the fault is on our side."""
    for _ in nodes.urls:
        if await _answers(nodes.next(), queues):
            return True
    return False


async def _answers(node: URL, queues: Sequence[JobQueue]) -> bool:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S), aio_pika.Connection(node) as connection:
            await connection.connect()
            channel = await connection.channel()
            for name in (*(queue.name for queue in queues), topology.DEAD_QUEUE):
                await channel.declare_queue(name, passive=True)
    except LOST:
        return False
    return True
