"""The model of RabbitMQ does what the real one does, as far as a client can see it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any
from uuid import uuid4

import aiormq
import pytest
from aiormq.abc import AbstractConnection
from aiormq.exceptions import AMQPError
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp.commands import Basic

from tests.support.alarms import alarm
from tests.support.backends import RabbitBackend
from tests.support.patience import PATIENCE_S
from tests.support.simulation.models import served_model
from tests.support.simulation.play import Player, Seen, State
from tests.support.simulation.scenarios import SCENARIOS, Scenario, error_of
from tests.support.waiting import eventually
from tools.lab.simulation.rabbitmq import RabbitModel

QUORUM: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 3, "x-dead-letter-exchange": ""}
CLASSIC: dict[str, Any] = {"x-dead-letter-exchange": ""}

Played = tuple[list[Seen], list[State], list[tuple[Any, ...]]]

index = st.integers(0, 9)
operations = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 4)),
    st.tuples(st.just("consume"), st.integers(1, 3)),
    st.tuples(st.just("ack"), index, st.booleans()),
    st.tuples(st.just("nack"), index, st.booleans(), st.booleans()),
    st.tuples(st.just("reject"), index, st.booleans()),
    st.sampled_from([("cancel",), ("get",), ("purge",), ("reopen",), ("cut",), ("acknowledge_unknown",)]),
)


@asynccontextmanager
async def model() -> AsyncIterator[str]:
    async with served() as (_, url):
        yield url


@asynccontextmanager
async def served() -> AsyncIterator[tuple[RabbitModel, str]]:
    broker = RabbitModel(Random(1))
    async with served_model(broker) as address:
        yield broker, f"amqp://guest:guest@{address}/"
    assert broker.not_modelled == []


async def dead_letters(url: str, queue: str, count: int) -> list[tuple[Any, ...]]:
    """Return the messages in a queue of dead letters, once it has this many; in the order of their numbers."""
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()

        async def all_there() -> bool:
            return (await channel.queue_declare(queue, passive=True)).message_count == count

        await eventually(all_there, PATIENCE_S)
        found = [await channel.basic_get(queue, no_ack=True) for _ in range(count)]
    return sorted(_death(message.body, message.header.properties.headers) for message in found)


def _death(body: bytes, headers: Any) -> tuple[Any, ...]:
    deaths = [
        (each["queue"], each["reason"], each["count"], each["exchange"], each["routing-keys"])
        for each in headers["x-death"]
    ]
    first = [headers[f"x-first-death-{what}"] for what in ("queue", "reason", "exchange")]
    return int(body), deaths, first


async def played(
    url: str, name: str, arguments: dict[str, Any], sequence: list[tuple[Any, ...]], expected: Played | None = None
) -> Played:
    """Return what was seen, the state after each operation, and the dead letters. With what is `expected`, wait for it
    after each operation."""
    dead = f"{name}.dead"
    async with Player.connected(url, name, arguments | {"x-dead-letter-routing-key": dead}) as player:
        await player.publisher.queue_declare(dead, durable=True, arguments={"x-queue-type": "quorum"})
        try:
            for number, operation in enumerate(sequence):
                await player.play(operation, expected[1][number] if expected else None)
            declared = await player.publisher.queue_declare(dead, passive=True)
            count = len(expected[2]) if expected else declared.message_count
            return player.seen, player.states, await dead_letters(url, dead, count)
        finally:
            await player.publisher.queue_delete(dead)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_scenarios(rabbitmq: RabbitBackend, scenario: Scenario) -> None:
    """What a client sees is the same, errors included."""
    name = f"sim.{uuid4().hex}"
    async with model() as url:
        modelled = await scenario(url, name)
    assert modelled == await scenario(rabbitmq.url, name)


@pytest.mark.full
@pytest.mark.parametrize("arguments", [QUORUM, CLASSIC], ids=["quorum", "classic"])
@settings(max_examples=6, derandomize=True)
@given(sequence=st.lists(operations, min_size=6, max_size=14))
async def test_random_operations(
    rabbitmq: RabbitBackend, arguments: dict[str, Any], sequence: list[tuple[Any, ...]]
) -> None:
    """Deliveries, their order, redeliveries, dead letters and errors are the same after any operations."""
    name = f"sim.{uuid4().hex}"
    async with model() as url:
        expected = await played(url, name, arguments, sequence)
    assert await played(rabbitmq.url, name, arguments, sequence, expected) == expected


@asynccontextmanager
async def low_memory(broker: RabbitModel) -> AsyncIterator[None]:
    broker.block()
    try:
        yield
    finally:
        broker.unblock()


async def published_with_low_memory(url: str, low: AbstractAsyncContextManager[None]) -> Any:
    """Return which of three messages are confirmed during an alarm: two without a body on one connection, and one with
    a body on another. Then all are."""
    async with aiormq.connect(url) as one, aiormq.connect(url) as other:
        empty, full = await one.channel(), await other.channel()
        async with low:
            publishing = [asyncio.ensure_future(empty.basic_publish(b"")) for _ in range(2)]
            publishing.append(asyncio.ensure_future(full.basic_publish(b"body")))
            await eventually(lambda: _is_blocked(one), PATIENCE_S)
            await eventually(lambda: _is_blocked(other), PATIENCE_S)
            await publishing[0]
            confirmed = [task.done() for task in publishing]
            asked = await (await aiormq.connect(url)).channel()
            declared = await asked.queue_declare(exclusive=True)
            await asked.connection.close()
        return confirmed, [type(await task).__name__ for task in publishing], declared.message_count


async def _is_blocked(connection: AbstractConnection) -> bool:
    try:
        await asyncio.wait_for(connection.ready(), 0.01)
    except TimeoutError:
        return True
    return False


@pytest.mark.full
async def test_low_memory(rabbitmq: RabbitBackend) -> None:
    """A connection that publishes is no longer read: an empty first message is confirmed, nothing after it; others may
    go on."""
    async with served() as (broker, url):
        modelled = await published_with_low_memory(url, low_memory(broker))
    assert modelled == await published_with_low_memory(rabbitmq.url, alarm(rabbitmq))


async def closed_by_an_operator(url: str, close: Callable[[], Awaitable[object]]) -> str:
    connection = aiormq.Connection(url)
    await connection.connect()
    closing = connection.closing
    await close()
    try:
        await asyncio.wait_for(closing, PATIENCE_S)
    except AMQPError as error:
        return f"{type(error).__name__}: {error}"
    return "none"


async def test_closed_connections(rabbitmq: RabbitBackend) -> None:
    """Clients learn who closed them."""
    async with served() as (broker, url):

        async def close() -> None:
            broker.close_all("closed by a test")

        modelled = await closed_by_an_operator(url, close)
    assert modelled == await closed_by_an_operator(rabbitmq.url, lambda: asyncio.to_thread(rabbitmq.close_connections))


async def restarted(url: str, name: str, restart: Callable[[], Awaitable[object]]) -> Any:
    """Return what is left of queues, exchanges and messages, of which one is in flight."""
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()
        await channel.queue_declare(name, durable=True, arguments=QUORUM)
        await channel.queue_declare(f"{name}.classic", durable=True)
        await channel.queue_declare(f"{name}.exclusive", exclusive=True)
        await channel.exchange_declare(f"{name}.durable", exchange_type="fanout", durable=True)
        await channel.exchange_declare(f"{name}.transient", exchange_type="fanout")
        for queue in (name, f"{name}.classic"):
            for exchange in ("durable", "transient"):
                await channel.queue_bind(queue, f"{name}.{exchange}")
        for body, mode in ((b"1", 2), (b"2", 1), (b"3", 2)):
            properties = Basic.Properties(delivery_mode=mode)
            await channel.basic_publish(body, exchange=f"{name}.durable", properties=properties)
        await channel.basic_get(name)
        await restart()
    seen: list[Any] = []
    for queue in (name, f"{name}.classic"):
        async with aiormq.connect(url) as connection:
            channel = await connection.channel()
            while isinstance((message := await channel.basic_get(queue, no_ack=True)).delivery, Basic.GetOk):
                headers = message.header.properties.headers or {}
                seen.append((message.body, headers.get("x-delivery-count") or None))
            await channel.queue_delete(queue)
    for missing in (f"{name}.durable", f"{name}.transient"):
        async with aiormq.connect(url) as connection:
            seen.append(await error_of((await connection.channel()).exchange_declare(missing, passive=True)))
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()
        await channel.exchange_delete(f"{name}.durable")
        seen.append(await error_of(channel.queue_declare(f"{name}.exclusive", passive=True)))
    return seen


@pytest.mark.full
async def test_a_restart(rabbitmq: RabbitBackend) -> None:
    """Durable queues and exchanges are there, with the messages that must not be lost."""
    name = f"sim.{uuid4().hex}"
    async with served() as (broker, url):

        async def restart() -> None:
            broker.restart()

        modelled = await restarted(url, name, restart)
    assert modelled == await restarted(rabbitmq.url, name, lambda: asyncio.to_thread(rabbitmq.restart))
