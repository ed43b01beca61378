"""The faults of the model of RabbitMQ, as the real aio-pika meets them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, DeliveryError

from shared.contracts import topology
from tests.support.patience import PATIENCE_S
from tests.support.simulation.models import served_model
from tests.support.waiting import eventually
from tools.lab.simulation.rabbitmq import BrokerFaults, RabbitModel

QUEUE = "worker.email"
EVENT = "order.created"


@asynccontextmanager
async def served(faults: BrokerFaults | None = None, seed: int = 1) -> AsyncIterator[tuple[RabbitModel, str]]:
    """Provide a broker with the topology of the product, and its URL."""
    model = RabbitModel(Random(seed))
    async with served_model(model) as address:
        url = f"amqp://guest:guest@{address}/"
        async with aio_pika.Connection(aio_pika.connection.make_url(url)) as connection:
            await connection.connect()
            await topology.declare(await connection.channel())
        model.faults = faults or BrokerFaults()
        yield model, url
    assert model.not_modelled == []


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[aio_pika.abc.AbstractRobustConnection]:
    connection = await aio_pika.connect_robust(url, reconnect_interval=0.01)
    try:
        yield connection
    finally:
        await connection.close()


async def publish(connection: aio_pika.abc.AbstractConnection, body: bytes = b"{}") -> None:
    channel = await connection.channel(on_return_raises=True)
    exchange = await channel.get_exchange(topology.EVENTS, ensure=False)
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await exchange.publish(message, EVENT, mandatory=True, timeout=PATIENCE_S)


class Taker:
    """Takes messages from a queue, and acknowledges them when asked to."""

    def __init__(self) -> None:
        self.taken: list[AbstractIncomingMessage] = []
        self.acknowledges = True

    @property
    def seen(self) -> list[tuple[bytes, bool, Any]]:
        return [(one.body, bool(one.redelivered), one.headers.get("x-delivery-count")) for one in self.taken]

    async def start(self, connection: aio_pika.abc.AbstractConnection, prefetch: int = 10) -> None:
        channel = await connection.channel()
        await channel.set_qos(prefetch)
        await (await channel.get_queue(QUEUE)).consume(self)

    async def __call__(self, message: AbstractIncomingMessage) -> None:
        self.taken.append(message)
        if self.acknowledges:
            await message.ack()


async def test_a_lost_confirm_leaves_the_message_in_its_queues() -> None:
    """The publisher does not know; a second attempt makes a duplicate."""
    async with served(BrokerFaults(confirm_lost=1)) as (model, url):
        async with await aio_pika.connect(url) as connection:
            with pytest.raises((AMQPError, RuntimeError, ConnectionError)):
                await publish(connection)
        assert model.queues[QUEUE] == 1
        model.faults.stop()
        async with await aio_pika.connect(url) as connection:
            await publish(connection)
        assert model.queues[QUEUE] == 2


async def test_a_refused_message_may_be_in_some_of_its_queues() -> None:
    """Never in all of them."""
    reached = set()
    for seed in range(10):
        async with served(BrokerFaults(nack=1), seed) as (model, url), await aio_pika.connect(url) as connection:
            with pytest.raises(DeliveryError):
                await publish(connection)
            receivers = [queue.name for queue in topology.receivers_of(EVENT)]
            counts = [model.queues[name] for name in receivers]
            assert 0 in counts
            reached.add(sum(counts) > 0)
    assert reached == {True, False}


async def test_a_late_confirm_comes_all_the_same() -> None:
    """Confirms of several messages, each delayed on its own, all arrive."""
    async with served(BrokerFaults(confirm_late=0.5, confirm_late_s=0.05)) as (model, url):
        async with await aio_pika.connect(url) as connection:
            await asyncio.gather(*(publish(connection, b"%d" % number) for number in range(30)))
        assert model.queues[QUEUE] == 30


async def test_messages_come_again_after_a_cut() -> None:
    """In their order, marked as redelivered, to the same consumer when it is back."""
    async with served() as (model, url), connected(url) as connection:
        taker = Taker()
        taker.acknowledges = False
        await taker.start(connection)
        for body in (b"1", b"2"):
            await publish(connection, body)
        await eventually(lambda: len(taker.taken) == 2)
        model.cut_all()
        taker.acknowledges = True
        await eventually(lambda: len(taker.taken) == 4)
        await eventually(lambda: model.in_flight == 0)
        assert taker.seen == [(b"1", False, None), (b"2", False, None), (b"1", True, 1), (b"2", True, 1)]


async def test_a_lost_acknowledgement_makes_a_duplicate() -> None:
    """The consumer has done its work and gets the message again."""
    async with served(BrokerFaults(settlement_lost=1)) as (model, url), connected(url) as connection:
        taker = Taker()
        await taker.start(connection)
        await publish(connection)
        await eventually(lambda: len(taker.taken) > 1)
        model.faults.stop()
        await eventually(lambda: model.in_flight == 0 and model.queues[QUEUE] == 0)
        assert {body for body, _, _ in taker.seen} == {b"{}"}


async def test_blocked_publishers_wait() -> None:
    """RabbitMQ stops reading from a connection that publishes; consumers go on."""
    async with served() as (model, url), connected(url) as connection, connected(url) as consuming:
        taker = Taker()
        await taker.start(consuming)
        await publish(connection)
        await eventually(lambda: len(taker.taken) == 1)
        model.block()
        waiting = [asyncio.create_task(publish(connection, body)) for body in (b"1", b"2")]
        await eventually(lambda: model.blocked == 1)
        assert not any(task.done() for task in waiting)
        model.unblock()
        await asyncio.gather(*waiting)
        await eventually(lambda: {body for body, _, _ in taker.seen} >= {b"{}", b"1", b"2"})


@pytest.mark.parametrize("fault", [RabbitModel.close_all, RabbitModel.restart, RabbitModel.cut_all])
async def test_consumers_come_back(fault: Callable[[RabbitModel], None]) -> None:
    """aio-pika restores the connection and the consumer, which gets the next message."""
    async with served() as (model, url), connected(url) as connection:
        taker = Taker()
        await taker.start(connection)
        fault(model)
        await eventually(lambda: model.consumers[QUEUE] == 1)
        async with await aio_pika.connect(url) as other:
            await publish(other)
        await eventually(lambda: len(taker.taken) == 1)


@pytest.mark.parametrize("fault", [RabbitModel.cancel_consumers, RabbitModel.delete_queue])
async def test_consumers_are_told_that_they_are_cancelled(fault: Callable[[RabbitModel, str], None]) -> None:
    """The connection stays."""
    async with served() as (model, url), await aio_pika.connect(url) as connection:
        cancelled: list[Any] = []
        channel = await connection.channel()
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(cancelled.append)
        await (await channel.get_queue(QUEUE)).consume(Taker())
        fault(model, QUEUE)
        await eventually(lambda: cancelled)
        assert model.consumers.get(QUEUE, 0) == 0
        assert not channel.is_closed


async def test_a_restart_keeps_durable_queues_and_confirmed_messages() -> None:
    """Whatever the seed; exclusive queues and transient exchanges are gone."""
    for seed in range(5):
        async with served(seed=seed) as (model, url):
            async with await aio_pika.connect(url) as connection:
                channel = await connection.channel()
                await topology.declare_feed(channel)
                await channel.declare_exchange("transient")
                for _ in range(5):
                    await publish(connection)
                model.restart()
            assert model.queues[QUEUE] == 5
            assert all(name.startswith("worker.") for name in model.queues)
            async with await aio_pika.connect(url) as connection:
                with pytest.raises(AMQPError):
                    await (await connection.channel()).get_exchange("transient", ensure=True)


async def test_a_stopped_broker_accepts_no_connections() -> None:
    async with served() as (model, url):
        model.stop()
        with pytest.raises((AMQPError, ConnectionError, StopAsyncIteration)):
            await aio_pika.connect(url)
        model.start()
        async with await aio_pika.connect(url):
            pass


async def test_a_closed_channel_is_the_brokers_choice() -> None:
    """As for a queue that has no leader at the moment: 406, on a method that asks for something."""
    async with served(BrokerFaults(channel_closed=1)) as (_, url), await aio_pika.connect(url) as connection:
        with pytest.raises(AMQPError, match="leader"):
            await connection.channel()


async def test_what_the_model_does_not_have_is_noted() -> None:
    """And closes the connection, so that nothing goes on as if it had been done."""
    model = RabbitModel(Random(1))
    async with served_model(model) as address, await aio_pika.connect(f"amqp://guest:guest@{address}/") as connection:
        channel = await connection.channel()
        with pytest.raises(AMQPError):
            await channel.declare_queue("queue", arguments={"x-message-ttl": 1000})
    assert [text for text in model.not_modelled if "x-message-ttl" in text]


async def test_changes_can_arrive_unreadable() -> None:
    """At the queue of one connection, as a gateway has it; the queues of jobs have the event as it is."""
    async with served(BrokerFaults(garbled=1.0)) as (model, url), connected(url) as connection:
        feed = await topology.declare_feed(await connection.channel())
        jobs = await (await connection.channel()).get_queue(QUEUE, ensure=False)
        await publish(connection, b'{"a": 1}')
        assert [(await queue.get(timeout=PATIENCE_S)).body for queue in (feed, jobs)] == [b"not JSON", b'{"a": 1}']
        model.faults.stop()
        await publish(connection, b'{"a": 2}')
        assert (await feed.get(timeout=PATIENCE_S)).body == b'{"a": 2}'
