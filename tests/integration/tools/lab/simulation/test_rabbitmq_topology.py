"""Declarations, bindings and routing of the model of RabbitMQ are those of the real one."""

from random import Random
from typing import Any
from uuid import uuid4

import aiormq
import pytest
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import AMQPError, DeliveryError
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp.commands import Basic

from tests.support.backends import RabbitBackend
from tests.support.simulation.models import served_model
from tools.lab.simulation.rabbitmq import RabbitModel

EXCHANGES, QUEUES = ("e1", "e2"), ("q1", "q2", "q3")
KINDS: dict[str, dict[str, Any]] = {
    "quorum": {"durable": True, "arguments": {"x-queue-type": "quorum"}},
    "limited": {"durable": True, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 5}},
    "classic": {"durable": True},
    "exclusive": {"exclusive": True},
    "auto-delete": {"auto_delete": True},
    "passive": {"passive": True},
}
exchange, queue = st.sampled_from(EXCHANGES), st.sampled_from(QUEUES)
key = st.sampled_from(["a", "a.b", "a.*", "#", ""])
operations = st.one_of(
    st.tuples(st.just("declare_queue"), queue, st.sampled_from(sorted(KINDS))),
    st.tuples(st.just("declare_exchange"), exchange, st.sampled_from(["topic", "fanout", "direct"]), st.booleans()),
    st.tuples(st.just("bind"), exchange, queue, key),
    st.tuples(st.just("unbind"), exchange, queue, key),
    st.tuples(st.just("delete_queue"), queue),
    st.tuples(st.just("delete_exchange"), exchange, st.booleans()),
    st.tuples(st.just("publish"), exchange, st.sampled_from(["a", "a.b", "b", ""]), st.booleans()),
    st.tuples(st.just("get"), queue),
    st.tuples(st.just("purge"), queue),
    st.tuples(st.just("exists"), exchange),
)


class Client:
    """Runs operations, each on a channel that the errors of earlier ones have not closed."""

    def __init__(self, connection: AbstractConnection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix
        self._channel: AbstractChannel | None = None

    async def run(self, operation: tuple[Any, ...]) -> str:
        """Return the reply, or the error."""
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.channel(on_return_raises=True)
        name, *arguments = operation
        try:
            return str(await getattr(self, name)(self._channel, *arguments))
        except DeliveryError as error:
            return type(error).__name__
        except AMQPError as error:
            # Versions word the details of 406 differently: which argument is named first, and its type.
            return f"{type(error).__name__}: {str(error).partition(' -')[0]}"

    async def declare_queue(self, channel: AbstractChannel, queue: str, kind: str) -> Any:
        declared = await channel.queue_declare(self._prefix + queue, **KINDS[kind])
        return declared.message_count, declared.consumer_count

    async def declare_exchange(self, channel: AbstractChannel, exchange: str, kind: str, auto_delete: bool) -> None:
        await channel.exchange_declare(self._prefix + exchange, exchange_type=kind, auto_delete=auto_delete)

    async def bind(self, channel: AbstractChannel, exchange: str, queue: str, key: str) -> None:
        await channel.queue_bind(self._prefix + queue, self._prefix + exchange, key)

    async def unbind(self, channel: AbstractChannel, exchange: str, queue: str, key: str) -> None:
        await channel.queue_unbind(self._prefix + queue, self._prefix + exchange, key)

    async def delete_queue(self, channel: AbstractChannel, queue: str) -> Any:
        return (await channel.queue_delete(self._prefix + queue)).message_count

    async def delete_exchange(self, channel: AbstractChannel, exchange: str, if_unused: bool = False) -> None:
        await channel.exchange_delete(self._prefix + exchange, if_unused=if_unused)

    async def publish(self, channel: AbstractChannel, exchange: str, key: str, mandatory: bool) -> str:
        properties = Basic.Properties(delivery_mode=2)
        confirm = await channel.basic_publish(
            key.encode(), exchange=self._prefix + exchange, routing_key=key, properties=properties, mandatory=mandatory
        )
        return type(confirm).__name__

    async def get(self, channel: AbstractChannel, queue: str) -> Any:
        message = await channel.basic_get(self._prefix + queue, no_ack=True)
        return type(message.delivery).__name__, message.body, message.routing_key, message.message_count

    async def purge(self, channel: AbstractChannel, queue: str) -> Any:
        return (await channel.queue_purge(self._prefix + queue)).message_count

    async def exists(self, channel: AbstractChannel, exchange: str) -> None:
        await channel.exchange_declare(self._prefix + exchange, passive=True)


async def replies(url: str, sequence: list[tuple[Any, ...]]) -> list[str]:
    """Return the replies to all operations, and what is left in the queues."""
    prefix = f"sim.{uuid4().hex}."
    async with aiormq.connect(url) as connection:
        client = Client(connection, prefix)
        left = [("get", name) for name in QUEUES]
        seen = [await client.run(operation) for operation in (*sequence, *left)]
        for name in QUEUES:
            await client.run(("delete_queue", name))
        for name in EXCHANGES:
            await client.run(("delete_exchange", name))
    return seen


@pytest.mark.full
@settings(max_examples=20, derandomize=True)
@given(sequence=st.lists(operations, min_size=8, max_size=30))
async def test_random_declarations(rabbitmq: RabbitBackend, sequence: list[tuple[Any, ...]]) -> None:
    """The same requests have the same replies and errors, and messages arrive in the same queues."""
    broker = RabbitModel(Random(1))
    async with served_model(broker) as address:
        modelled = await replies(f"amqp://guest:guest@{address}/", sequence)
    assert broker.not_modelled == []
    assert modelled == await replies(rabbitmq.url, sequence)
