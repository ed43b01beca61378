"""RabbitMQ or Postgres goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import aio_pika
import pytest

from services.worker.settings import Settings
from shared.contracts import topology
from tests.support.backends import RabbitBackend
from tests.support.backends.smtp import SmtpServer
from tests.support.link import Link
from tests.support.patience import patient
from tests.support.waiting import eventually
from tests.support.worker.queues import drained
from tests.support.worker.world import World, created, working


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    with patient():
        yield


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Link]:
    async with Link.to(settings.database_url) as link:
        yield link


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[Link]:
    async with Link.to(settings.rabbitmq_url) as link:
        yield link


async def is_not_ready(world: World) -> bool:
    return (await world.ready()).status_code == 503


@pytest.mark.full
async def test_it_starts_without_rabbitmq(settings: Settings, broker: Link) -> None:
    """The HTTP side is up before RabbitMQ is, says what is missing, and the consumers come by themselves."""
    await broker.cut()
    async with working(settings.model_copy(update={"rabbitmq_url": broker.url})) as world:
        assert (await world.http.get("/livez")).status_code == 200
        answer = await world.ready()
        assert answer.status_code == 503
        assert "no queue has a consumer" in answer.json()["checks"]["rabbitmq"]
        await broker.mend()
        await world.until_ready()


@pytest.mark.full
async def test_consumers_come_back_after_the_connection_was_lost(settings: Settings, broker: Link) -> None:
    """What is published meanwhile is done afterwards."""
    async with working(settings.model_copy(update={"rabbitmq_url": broker.url})) as cut_off:
        await cut_off.until_ready()
        await broker.cut()
        world = World(cut_off.app, settings, cut_off.http)
        [event_id] = await world.publish(created(uuid4(), mail=False))
        await eventually(lambda: is_not_ready(world))
        await broker.mend()
        await world.until(event_id, analytics="done", email="done", notifications="done")
        await world.until_ready()


@pytest.mark.full
async def test_consumers_come_back_after_a_restart_of_rabbitmq(settings: Settings, rabbitmq: RabbitBackend) -> None:
    """A restart of the broker needs no restart of the worker."""
    async with working(settings) as world:
        await world.until_ready()
        await asyncio.to_thread(rabbitmq.restart)
        await world.until_ready(within=180)
        [event_id] = await world.publish(created(uuid4(), mail=False))
        await world.until(event_id, analytics="done", email="done", notifications="done")


@pytest.mark.full
async def test_a_queue_without_consumer_is_named(alone: World) -> None:
    """Readiness names the queue that is gone, and the consumer comes back with it."""
    async with await aio_pika.connect(alone.settings.rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete("worker.email")
        said = ""

        async def is_named() -> bool:
            nonlocal said
            answer = await alone.ready()
            said = answer.json()["checks"]["rabbitmq"]
            return answer.status_code == 503 and "worker.email" in said

        await eventually(is_named, 120)  # a busy broker may not answer at first
        assert "worker.analytics" not in said
        await topology.declare(channel)
    await alone.until_ready()


async def test_postgres_away(settings: Settings, database: Link, smtp: SmtpServer) -> None:
    """While the ledger cannot be reached messages wait, readiness says why, and nothing is lost or done twice."""
    async with working(settings.model_copy(update={"database_url": database.url})) as cut_off:
        await cut_off.until_ready()
        world = World(cut_off.app, settings, cut_off.http)
        user_id = await world.known()
        await database.cut()
        ids = await world.publish(*(created(user_id, total=100) for _ in range(10)))
        answer = await world.ready()
        assert answer.status_code == 503
        assert answer.json()["checks"]["postgres"] != "ok"
        assert answer.json()["checks"]["rabbitmq"] == "ok"
        panel = await world.http.post("/internal/panels/analytics", json={"ids": [str(user_id)]})
        assert panel.status_code == 503
        assert await world.fetch("SELECT job FROM jobs WHERE event_id = ANY($1)", ids) == []
        await database.mend()
        for event_id in ids:
            await world.until(event_id, analytics="done", email="done", notifications="done")
        await drained(world)
        await world.until_ready()
        assert (await world.panel("analytics", user_id))[str(user_id)]["orders"] == 10
        assert len(smtp.messages) == 10
