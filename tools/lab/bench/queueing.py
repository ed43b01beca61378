"""A vhost and a migrated worker database for a benchmark, and the events in its queues."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import aio_pika

from shared.clock import now, rfc3339
from shared.contracts import events, topology
from shared.db.migrations import migrate
from shared.ids import new_id
from tests.support.backends.vhosts import empty_vhost
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Child
from tools.lab.bench.bed import Bed
from tools.lab.bench.contestants import SECRET
from tools.lab.bench.peers.effect import ITEMS, TOTAL, USERS

AT_ONCE = 200


@dataclass(frozen=True)
class Place:
    database_url: str
    rabbitmq_url: str


@contextmanager
def place(bed: Bed, service: str) -> Iterator[Place]:
    name = f"bench_{uuid4().hex[:12]}"
    url = bed.backends.postgres.create_database(name)
    try:
        migrate(service, url)
        with empty_vhost(bed.backends.rabbitmq, "bench") as rabbitmq_url:
            yield Place(url, rabbitmq_url)
    finally:
        bed.backends.postgres.drop_database(name)


def serve(bed: Bed, service: str, place: Place, *module: str, **more: str) -> Child:
    """Start our process of the service, or this module with its arguments, and wait until it is ready. `more` has
    further settings."""
    port = free_port()
    prefix = service.upper()
    env = {
        "ENVIRONMENT": "development",
        "LOG_LEVEL": "WARNING",
        "INTERNAL_TOKEN_SECRET": SECRET,
        f"{prefix}_DATABASE_URL": place.database_url,
        f"{prefix}_RABBITMQ_URL": place.rabbitmq_url,
        f"{prefix}_PORT": str(port),
        "WORKER_SMTP_URL": "smtp://127.0.0.1:1",
        **more,
    }
    command = module or ("tools.cli.main", "serve", service)
    return bed.serving(bed.python(service, "-m", *command, env=env), port)


def created(user_id: UUID) -> events.OrderCreated:
    line = events.OrderLine(sku="A-1", name="Lamp", quantity=ITEMS, unit_price=TOTAL // ITEMS)
    return events.OrderCreated(
        user_id=user_id,
        order_id=new_id(),
        currency="EUR",
        total=TOTAL,
        item_count=ITEMS,
        items=(line,),
        created_at=now(),
        mail=False,
    )


def fill_analytics(rabbitmq_url: str, count: int) -> None:
    """Put this many order events into the queue of the analytics job, and into no other queue."""
    asyncio.run(_fill(rabbitmq_url, count))


async def _fill(rabbitmq_url: str, count: int) -> None:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await topology.declare(channel)
        queue = topology.QUEUES["analytics"].name
        for begin in range(0, count, AT_ONCE):
            users = [UUID(USERS[number % len(USERS)]) for number in range(begin, min(begin + AT_ONCE, count))]
            await asyncio.gather(*(channel.default_exchange.publish(_message(user), queue) for user in users))


def _message(user_id: UUID) -> aio_pika.Message:
    event, event_id = created(user_id), str(new_id())
    headers = {
        "specversion": "1.0",
        "id": event_id,
        "type": event.type,
        "source": "/orders",
        "time": rfc3339(now()),
        "subject": str(user_id),
        "dataschema": events.schema_of(type(event)),
    }
    return aio_pika.Message(
        events.encode(event),
        headers=dict(headers),
        message_id=event_id,
        type=event.type,
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
