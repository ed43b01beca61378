"""Exchanges and queues. Every process declares them before it publishes or consumes.

The arguments are supported by RabbitMQ 3.10 to 4.x; limits that may change later (`delivery-limit`, at-least-once
dead-lettering) are set by a policy, in `deploy/rabbitmq/definitions.json`.
"""

from dataclasses import dataclass
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue
from aiormq.exceptions import ChannelPreconditionFailed

from shared.contracts import events
from shared.server.background import Permanent

EVENTS = "events"
"""Durable topic exchange; the routing key is the event's type."""
DEAD = "events.dead"
"""Durable topic exchange for dead letters, which keep their routing key."""
LIVE = "live"
"""Topic exchange for transient hints about changes."""
DEAD_QUEUE = "worker.dead"

JOBS: dict[str, tuple[type[events.Event], ...]] = {
    "recipients": (events.UserRegistered, events.UserUpdated, events.UserDeleted),
    "email": (events.OrderCreated, events.OrderShipped),
    "analytics": (
        events.OrderCreated,
        events.OrdersImported,
        events.OrderPaid,
        events.OrderShipped,
        events.OrderCancelled,
    ),
    "notifications": (
        events.UserRegistered,
        events.OrderCreated,
        events.OrderPaid,
        events.OrderShipped,
        events.OrderCancelled,
        events.ImportCompleted,
    ),
    "imports": (events.ImportRequested,),
    "webhooks": (
        events.OrderCreated,
        events.OrderPaid,
        events.OrderShipped,
        events.OrderCancelled,
        events.ImportCompleted,
        events.UserUpdated,
    ),
}
"""The events of each job of the worker: the bindings of its queue."""


class TopologyMismatch(Permanent):
    """A queue or exchange exists with other arguments. Retrying does not help."""


@dataclass(frozen=True)
class JobQueue:
    """Return the queue of one job: quorum, dead-lettering to `events.dead`."""

    job: str

    @property
    def name(self) -> str:
        return f"worker.{self.job}"

    @property
    def routing_keys(self) -> tuple[str, ...]:
        return tuple(event.type for event in JOBS[self.job])

    @property
    def arguments(self) -> dict[str, Any]:
        return {"x-queue-type": "quorum", "x-dead-letter-exchange": DEAD}


QUEUES = {job: JobQueue(job) for job in JOBS}


def receivers_of(event_type: str) -> list[JobQueue]:
    """Return the queues that receive events of this type."""
    return [queue for queue in QUEUES.values() if event_type in queue.routing_keys]


async def declare(channel: AbstractChannel) -> AbstractExchange:
    """Declare the topology, idempotently, and return the exchange `events`. Raises `TopologyMismatch`."""
    try:
        exchange = await channel.declare_exchange(EVENTS, ExchangeType.TOPIC, durable=True)
        await channel.declare_exchange(LIVE, ExchangeType.TOPIC, durable=True)
        dead = await channel.declare_exchange(DEAD, ExchangeType.TOPIC, durable=True)
        dead_queue = await channel.declare_queue(DEAD_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await dead_queue.bind(dead, "#")
        for queue in QUEUES.values():
            declared = await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
            for key in queue.routing_keys:
                await declared.bind(exchange, key)
    except ChannelPreconditionFailed as refused:
        if "inequivalent" not in str(refused):  # also raised for a queue that has no leader at the moment
            raise
        raise TopologyMismatch(f"the broker rejects the topology: {refused}") from refused
    return exchange


async def declare_feed(channel: AbstractChannel) -> AbstractQueue:
    """Declare a queue of this connection that receives every event and every live hint from now on."""
    queue = await channel.declare_queue(exclusive=True, auto_delete=True)
    for name in (EVENTS, LIVE):
        await queue.bind(await channel.declare_exchange(name, ExchangeType.TOPIC, durable=True), "#")
    return queue
