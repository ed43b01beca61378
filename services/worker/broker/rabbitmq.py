"""The worker's connection to RabbitMQ, through FastStream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import aio_pika
from aio_pika import RobustConnection
from aio_pika.abc import AbstractRobustConnection, AbstractRobustQueue
from aio_pika.exceptions import AMQPError
from aiormq.abc import AbstractChannel
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue
from faststream.rabbit.subscriber import RabbitSubscriber
from yarl import URL

from services.worker.broker.batch_collector import BatchConsumer, Handler
from shared.contracts import topology
from shared.contracts.topology import JobQueue
from shared.observability.logs import get_logger
from shared.outbox.publisher import DECLARE_TIMEOUT_S
from shared.rabbitmq import LOST, Nodes

log = get_logger(__name__)

CONNECT_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 2.0

Source = RabbitSubscriber | BatchConsumer
"""The source of a queue's messages."""


@asynccontextmanager
async def connected(nodes: Nodes, reconnect_s: float, queues: Sequence[JobQueue]) -> AsyncIterator[RabbitBroker]:
    """Connect and declare the topology with these queues. Raises `LOST`, or `TopologyMismatch`."""
    async with _closing() as make:
        broker = _Broker(
            str(nodes.next()),
            timeout=CONNECT_TIMEOUT_S,
            reconnect_interval=reconnect_s,
            default_channel=Channel(publisher_confirms=False),
            decoder=_as_it_is,
            apply_types=False,
            logger=None,
            graceful_timeout=None,
            on_close=[partial(_turn, nodes)],
        )
        broker.make_connections_with(make)
        try:
            async with asyncio.timeout(DECLARE_TIMEOUT_S):
                connection: AbstractRobustConnection = await broker.connect()
                await topology.declare(await connection.channel(), queues)
            yield broker
        finally:
            await bounded(broker.stop())


@asynccontextmanager
async def publishing(nodes: Nodes, reconnect_s: float) -> AsyncIterator[AbstractRobustConnection]:
    """Open a connection for publishing, which reconnects by itself. Raises `LOST`."""
    async with _closing() as make:
        connection = await aio_pika.connect_robust(
            nodes.next(), timeout=CONNECT_TIMEOUT_S, reconnect_interval=reconnect_s, connection_class=make
        )
        connection.close_callbacks.add(partial(_turn, nodes))
        yield connection


class _Broker(RabbitBroker):
    """FastStream's broker with a connection factory, as aio-pika supports."""

    def make_connections_with(self, make: type[RobustConnection]) -> None:
        self._connection_kwargs["connection_class"] = make


@asynccontextmanager
async def _closing() -> AsyncIterator[type[RobustConnection]]:
    """Close every connection that this factory creates.

    An aio-pika connection keeps reconnecting until it is closed, even if its caller was cancelled before receiving it.
    If it is cancelled during an attempt, it continues, and the event loop never ends.
    """
    made: list[RobustConnection] = []

    def make(*args: Any, **options: Any) -> RobustConnection:
        made.append(RobustConnection(*args, **options))
        return made[-1]

    try:
        yield cast("type[RobustConnection]", make)
    finally:
        for connection in made:
            await bounded(connection.close())


def _turn(nodes: Nodes, connection: Any, *_: object) -> None:
    """Point aio-pika to the URL that it tries next."""
    connection.url = nodes.next()


def subscriber(broker: RabbitBroker, queue: str, prefetch: int, handler: Handler) -> RabbitSubscriber:
    async def handle(message: RabbitMessage) -> None:
        await handler(message.raw_message)

    subscriber = broker.subscriber(
        RabbitQueue(queue, declare=False),
        channel=Channel(prefetch_count=prefetch),
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
    )
    subscriber(handle)
    return subscriber


async def start(broker: RabbitBroker, sources: Iterable[Source]) -> None:
    """Start to consume. Raises `LOST`."""
    async with asyncio.timeout(DECLARE_TIMEOUT_S):
        await broker.start()
        for one in sources:
            if isinstance(one, BatchConsumer):
                await one.start()


async def stop(sources: Iterable[Source]) -> None:
    """Stop consuming."""
    await bounded(asyncio.gather(*(one.stop() for one in sources), return_exceptions=True))


async def bounded(stopping: Awaitable[object]) -> None:
    """Shut down gracefully, unless the broker no longer responds."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await stopping
    except Exception as error:
        log.debug("broker not stopped gracefully", error=repr(error))


async def consumed(source: Source) -> tuple[AbstractChannel, int] | None:
    """Return the channel on which it consumes and the number of ready messages in its queue; None if it does not
    consume.

    Both sides must agree: our consumer's channel, and the broker's list of consumers of this queue.
    """
    if (consuming := _consuming(source)) is None:
        return None
    queue, tag = consuming
    try:
        channel: Any = await queue.channel.get_underlay_channel()
        if tag not in channel.consumers:
            return None
        probe = await channel.connection.channel(publisher_confirms=False)
        declared = await probe.queue_declare(queue=queue.name, passive=True)
        await probe.close()
    except (AMQPError, RuntimeError):  # querying a missing queue closes the channel
        return None
    return (channel, declared.message_count or 0) if declared.consumer_count else None


def _consuming(source: Source) -> tuple[AbstractRobustQueue, str | None] | None:
    if isinstance(source, BatchConsumer):
        return source.consuming
    return None if source._queue_obj is None else (source._queue_obj, source._consumer_tag)


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


async def _as_it_is(message: RabbitMessage) -> RabbitMessage:
    return message
