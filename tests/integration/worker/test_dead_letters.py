"""What RabbitMQ gives up is found in the ledger, not in a queue."""

import asyncio
import json
from typing import Any

import aio_pika
import pytest

from services.worker.settings import Settings
from shared.contracts import topology
from shared.contracts.events import OrderCreated
from shared.ids import new_id
from tests.support.backends import RabbitBackend
from tests.support.waiting import eventually
from tests.support.worker.queues import drained
from tests.support.worker.world import LONG_S, World, created, message_of, working


async def limit_deliveries(rabbitmq: RabbitBackend, settings: Settings, **more: Any) -> None:
    """The policy of production on this test's virtual host, with another limit."""
    vhost = settings.rabbitmq_url.rpartition("/")[2]
    definition = {"delivery-limit": 2, "dead-letter-strategy": "at-least-once", "overflow": "reject-publish"} | more
    await asyncio.to_thread(
        rabbitmq.rabbitmqctl,
        *("set_policy", "-p", vhost, "jobs", r"^worker\.(?!dead$)", json.dumps(definition), "--apply-to", "queues"),
    )


async def reject_to_death(settings: Settings, queue: str, message: aio_pika.Message) -> None:
    """A consumer that returns it until the delivery limit makes an end of that."""
    async with await aio_pika.connect(settings.rabbitmq_url) as connection:
        channel = await connection.channel()
        await topology.declare(channel)
        await channel.default_exchange.publish(message, queue)
        declared = await channel.get_queue(queue)

        async def given_up() -> bool:
            while (delivered := await declared.get(fail=False)) is not None:
                await delivered.reject(requeue=True)
            dead = await channel.declare_queue(topology.DEAD_QUEUE, passive=True)
            return bool(dead.declaration_result.message_count)

        await eventually(given_up, LONG_S)


@pytest.mark.full
async def test_the_delivery_limit_ends_in_the_ledger(settings: Settings, rabbitmq: RabbitBackend) -> None:
    """A message that was returned too often is a dead job with its body, its headers and the reason."""
    await limit_deliveries(rabbitmq, settings)
    event_id, order = new_id(), created(new_id(), mail=False)
    await reject_to_death(settings, "worker.email", message_of(event_id, order))
    async with working(settings) as world:
        await world.until(event_id, email="dead")
        row = await world.job("email", event_id)
        assert (row["error_group"], row["attempts"]) == ("broker: delivery_limit", 0)
        assert (row["user_id"], row["event_type"]) == (order.user_id, OrderCreated.type)
        assert str(order.order_id).encode() in row["payload"]
        assert json.loads(row["headers"])["id"] == str(event_id)
        await drained(world, "worker.dead")


async def test_a_replayed_dead_letter_is_done(settings: Settings, rabbitmq: RabbitBackend) -> None:
    """What the ledger kept of it is enough to do the job."""
    await limit_deliveries(rabbitmq, settings)
    event_id, order = new_id(), created(new_id(), total=100, mail=False)
    await reject_to_death(settings, "worker.analytics", message_of(event_id, order))
    async with working(settings) as world:
        await world.until(event_id, analytics="dead")
        await world.fetch(
            "UPDATE jobs SET state = 'retrying', attempts = 0, next_attempt_at = now() WHERE event_id = $1", event_id
        )
        await world.until(event_id, analytics="done")
        assert (await world.panel("analytics", order.user_id))[str(order.user_id)]["orders"] == 1


async def test_a_job_that_is_done_stays_done(alone: World) -> None:
    """A dead letter of a job that another delivery has done changes nothing."""
    event_id, order = new_id(), created(new_id(), mail=False)
    await alone.publish(order, event_id=event_id)
    await alone.until(event_id, analytics="done")
    message = message_of(event_id, order)
    message.headers["x-death"] = [{"queue": "worker.analytics", "reason": "delivery_limit", "count": 1}]
    await alone.publish_to_queue(topology.DEAD_QUEUE, message)
    await drained(alone, "worker.dead")
    assert (await alone.job("analytics", event_id))["state"] == "done"


@pytest.mark.parametrize("death", [[], "odd", [1], [{"queue": [1], "reason": {}}], [{"queue": "worker.eaten"}]])
async def test_a_dead_letter_of_unknown_origin(world: World, death: Any) -> None:
    """Whatever lies in the queue of the dead ends up in the ledger."""
    event_id = new_id()
    message = aio_pika.Message(b"\xff", message_id=str(event_id), headers={"x-death": death})
    await world.publish_to_queue(topology.DEAD_QUEUE, message)
    await world.until(event_id, unknown="dead")
    assert (await world.job("unknown", event_id))["error_group"] == "broker: unknown"


@pytest.mark.full
async def test_an_expired_message_is_a_dead_job(settings: Settings, rabbitmq: RabbitBackend) -> None:
    """A queue that an operator gave a TTL hides nothing."""
    await limit_deliveries(rabbitmq, settings, **{"message-ttl": 1})
    event_id = new_id()
    async with await aio_pika.connect(settings.rabbitmq_url) as connection:
        channel = await connection.channel()
        exchange = await topology.declare(channel)
        await exchange.publish(message_of(event_id, created(new_id())), OrderCreated.type)
    async with working(settings) as world:
        await world.until(event_id, email="dead", analytics="dead", notifications="dead")
        assert (await world.job("email", event_id))["error_group"] == "broker: expired"
