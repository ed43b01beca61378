"""The model of RabbitMQ does what the real one does, as far as a client can see it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import uuid4

import aiormq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.tools.lab.simulation.play import Player, Seen, State
from tests.integration.tools.lab.simulation.scenarios import SCENARIOS, Scenario
from tests.support.backends import RabbitBackend
from tests.support.models import served_model
from tests.support.patience import PATIENCE_S
from tests.support.waiting import eventually
from tools.lab.simulation.rabbitmq import RabbitModel

QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 3, "x-dead-letter-exchange": ""}
CLASSIC = {"x-dead-letter-exchange": ""}

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
    broker = RabbitModel(Random(1))
    async with served_model(broker) as address:
        yield f"amqp://guest:guest@{address}/"
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


def _death(body: bytes, headers: dict[str, Any]) -> tuple[Any, ...]:
    deaths = [
        (each["queue"], each["reason"], each["count"], each["exchange"], each["routing-keys"])
        for each in headers["x-death"]
    ]
    first = [headers[f"x-first-death-{what}"] for what in ("queue", "reason", "exchange")]
    return int(body), deaths, first, headers.get("x-delivery-count")


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


@pytest.mark.parametrize("arguments", [QUORUM, CLASSIC], ids=["quorum", "classic"])
@settings(max_examples=12, derandomize=True)
@given(sequence=st.lists(operations, min_size=6, max_size=14))
async def test_random_operations(
    rabbitmq: RabbitBackend, arguments: dict[str, Any], sequence: list[tuple[Any, ...]]
) -> None:
    """Deliveries, their order, redeliveries, dead letters and errors are the same after any operations."""
    name = f"sim.{uuid4().hex}"
    async with model() as url:
        expected = await played(url, name, arguments, sequence)
    assert await played(rabbitmq.url, name, arguments, sequence, expected) == expected
