"""Exchanges and queues. Every process declares them before it publishes or consumes.

The arguments are supported by RabbitMQ 3.10 to 4.x; limits that may change later (`delivery-limit`, at-least-once
dead-lettering) are set by a policy, in `deploy/rabbitmq/definitions.json`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue
from aiormq.exceptions import ChannelPreconditionFailed

from shared.contracts.subscriptions import SUBSCRIPTIONS
from shared.server.background import Permanent

EVENTS = "events"
"""Durable topic exchange; the routing key is the event's type."""
TASKS = "tasks"
"""Durable topic exchange; the routing key is the task's type. Only the queues of jobs are bound to it, each type to one
queue: a task that is not routed has none yet, and is returned."""
DEAD = "events.dead"
"""Durable topic exchange for dead letters, which keep their routing key."""
LIVE = "live"
"""Topic exchange for transient hints about changes."""
DEAD_QUEUE = "worker.dead"


class TopologyMismatch(Permanent):
    """A queue or exchange exists with other arguments. Retrying does not help."""


@dataclass(frozen=True)
class JobQueue:
    """The queue of one job: quorum, dead-lettering to `events.dead`. The routing keys are types of events and tasks."""

    job: str
    routing_keys: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"worker.{self.job}"

    @property
    def arguments(self) -> dict[str, Any]:
        return {"x-queue-type": "quorum", "x-dead-letter-exchange": DEAD}


QUEUES = {job: JobQueue(job, types) for job, types in SUBSCRIPTIONS.items()}
"""The queues of the jobs in this repository. A worker may have more, of other applications (`WORKER_JOBS`)."""


def exchange_of(routing_key: str) -> str:
    """Return the exchange to which messages of this type are published."""
    return TASKS if routing_key.startswith("task.") else EVENTS


def receivers_of(event_type: str) -> list[JobQueue]:
    """Return the queues that receive events of this type."""
    return [queue for queue in QUEUES.values() if event_type in queue.routing_keys]


async def declare(channel: AbstractChannel, queues: Iterable[JobQueue] | None = None) -> AbstractExchange:
    """Declare exchanges and queues, idempotently, and return the exchange `events`. Raises `TopologyMismatch`.

    The queues are `QUEUES` unless given.
    """
    try:
        exchange = await channel.declare_exchange(EVENTS, ExchangeType.TOPIC, durable=True)
        await channel.declare_exchange(TASKS, ExchangeType.TOPIC, durable=True)
        await channel.declare_exchange(LIVE, ExchangeType.TOPIC, durable=True)
        dead = await channel.declare_exchange(DEAD, ExchangeType.TOPIC, durable=True)
        dead_queue = await channel.declare_queue(DEAD_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await dead_queue.bind(dead, "#")
        for queue in QUEUES.values() if queues is None else queues:
            declared = await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
            for key in queue.routing_keys:
                # During an upgrade the relay of 0.1 publishes tasks of this version to `events`, like everything.
                for name in dict.fromkeys((exchange_of(key), EVENTS)):
                    await declared.bind(name, key)
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
