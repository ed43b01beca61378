"""An event leaves the outbox when every queue that is to have it has it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID, uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from shared.clock import now
from shared.contracts import events, topology
from shared.contracts.topology import JobQueue
from shared.db.engine import Database
from shared.outbox import outbox
from shared.outbox.publisher import Publisher, QueueLost
from shared.outbox.relay import Relay
from shared.server.background import Background
from tests.support.backends import RabbitBackend
from tests.support.metrics import sample
from tests.support.patience import PATIENCE_S
from tests.support.waiting import eventually

ORDER = topology.receivers_of("order.created")
EACH = [ORDER[0], *(pytest.param(queue, marks=pytest.mark.full) for queue in ORDER[1:])]
"""All of them, one in the short form."""
REFUSING = "refusing"


class Hasty(Relay):
    POLL_S = 0.05
    PUBLISH_TIMEOUT_S = PATIENCE_S
    RECONNECT_S = 0.05
    RETURNED_DELAY_S = 0.1


class Meddler(Publisher):
    """Deletes a queue at a chosen moment of the first batch, and declares it again as the worker does."""

    rabbitmq_url = ""
    queue = ORDER[0]
    moment = ""
    meddled = False

    async def _meddle(self, moment: str) -> None:
        if type(self).meddled or moment != self.moment:
            return
        type(self).meddled = True
        async with await aio_pika.connect(self.rabbitmq_url) as connection:
            channel = await connection.channel()
            await channel.queue_delete(self.queue.name)
            if moment == "while publishing":
                await super().publish(self._last, "order.created")
            await topology.declare(channel)

    async def prepare(self, types: Iterable[str]) -> None:
        await self._meddle("before the batch")
        await super().prepare(types)

    async def publish(self, message: aio_pika.Message, event_type: str) -> None:
        self._last = message
        if self.moment == "while publishing" and not type(self).meddled:
            await self._meddle("while publishing")
        else:
            await super().publish(message, event_type)

    async def check_received(self, types: Iterable[str]) -> None:
        await self._meddle("after the confirm")
        await super().check_received(types)


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    async with Background(pytest.fail) as background:
        background.start("relay", relay.run)
        yield
    assert background.failure is None


@pytest.fixture
async def feed(channel: AbstractChannel) -> str:
    """As of a gateway: a queue that everything matches."""
    return (await topology.declare_feed(channel)).name


async def add(db: Database) -> str:
    """An order; the id of its event."""
    order = events.OrderCreated(
        user_id=uuid4(), order_id=uuid4(), currency="EUR", total=1, item_count=0, items=(), created_at=now(), mail=False
    )
    row = outbox.row(order)
    async with db.connection() as connection:
        await connection.execute(outbox.INSERT, *row)
    return str(row[0])


async def is_empty(db: Database) -> bool:
    return not await db.pool.fetchval("SELECT count(*) FROM outbox")


async def has(channel: AbstractChannel, queue: str, event_id: str) -> bool:
    """Whether the event is the next in the queue, which then is emptied of it."""
    message = await (await channel.get_queue(queue, ensure=False)).get(fail=False, no_ack=True)
    return message is not None and message.message_id == event_id


@pytest.fixture(autouse=True)
async def emptied(channel: AbstractChannel) -> None:
    for queue in ORDER:
        await (await channel.get_queue(queue.name)).purge()


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize("queue", EACH, ids=lambda queue: queue.job)
@pytest.mark.parametrize("moment", ["before the batch", "while publishing", "after the confirm"])
async def test_a_queue_that_is_deleted_and_declared_again_gets_the_event(
    db: Database, rabbitmq: RabbitBackend, channel: AbstractChannel, queue: JobQueue, moment: str
) -> None:
    """Whichever of several it is and whenever that happens; the others and a live feed do not stand in for it."""

    class Once(Meddler):
        pass

    Once.rabbitmq_url, Once.queue, Once.moment = rabbitmq.url, queue, moment
    relay = Hasty(db, rabbitmq.url, "orders")
    relay.PUBLISHER = Once
    returned = returned_events()
    event_id = await add(db)
    async with running(relay):
        await eventually(lambda: is_empty(db))
        for one in ORDER:
            await eventually(partial(has, channel, one.name, event_id))
    assert Once.meddled
    assert returned_events() > returned


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize("queue", EACH, ids=lambda queue: queue.job)
async def test_a_lost_queue_is_counted_however_it_shows(
    db: Database, rabbitmq: RabbitBackend, channel: AbstractChannel, queue: JobQueue
) -> None:
    """Also when RabbitMQ has closed the channel of the witnesses before they are asked for."""

    class Late(Publisher):
        meddled = False

        async def check_received(self, types: Iterable[str]) -> None:
            if not Late.meddled:
                Late.meddled = True
                await channel.queue_delete(queue.name)
                with pytest.raises(QueueLost):
                    await super().check_received(types)
            await super().check_received(types)

    relay = Hasty(db, rabbitmq.url, "orders")
    relay.PUBLISHER = Late
    returned = returned_events()
    await add(db)
    async with running(relay):
        await eventually(lambda: is_empty(db))
    assert returned_events() > returned


def returned_events() -> float:
    return sample("outbox_returned_total") or 0


@pytest.mark.usefixtures("feed")
async def test_deleted_queues_get_what_is_published_later(
    db: Database, rabbitmq: RabbitBackend, channel: AbstractChannel
) -> None:
    """All of them at once, and nobody else declares them again."""
    async with running(Hasty(db, rabbitmq.url, "orders")):
        await eventually(lambda: is_empty(db))
        for queue in ORDER:
            await channel.queue_delete(queue.name)
        event_id = await add(db)
        await eventually(lambda: is_empty(db))
        for queue in ORDER:
            await eventually(partial(has, channel, queue.name, event_id))


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize("queue", EACH, ids=lambda queue: queue.job)
async def test_a_binding_that_was_removed_is_declared_again(
    db: Database, rabbitmq: RabbitBackend, channel: AbstractChannel, queue: JobQueue
) -> None:
    """Before the next batch: the queue misses no event."""
    relay = Hasty(db, rabbitmq.url, "orders")
    async with running(relay):
        await eventually(lambda: runs(relay))
        await (await channel.get_queue(queue.name)).unbind(topology.EVENTS, "order.created")
        event_id = await add(db)
        await eventually(lambda: is_empty(db))
        assert await has(channel, queue.name, event_id)


@pytest.mark.usefixtures("feed")
async def test_a_refused_event_waits_longer_each_time_and_holds_up_no_other(
    db: Database, rabbitmq: RabbitBackend, channel: AbstractChannel
) -> None:
    """A queue that is full refuses every event of its type. Each row backs off by itself, and stays."""
    full = await channel.declare_queue(
        REFUSING, exclusive=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    await full.bind(topology.EVENTS, "order.created")
    event_id, user_id = await add(db), uuid4()
    relay = Hasty(db, rabbitmq.url, "orders")
    async with running(relay):
        await eventually(lambda: refused(db, 3))
        other = await add_user(db, user_id)
        await eventually(lambda: published(db, other))
        await eventually(lambda: waits_long(db))
        await full.unbind(topology.EVENTS, "order.created")
        await eventually(lambda: is_empty(db))
        await eventually(lambda: has(channel, ORDER[0].name, event_id))


async def add_user(db: Database, user_id: UUID) -> str:
    row = outbox.row(events.UserDeleted(user_id=user_id, revision=1, deleted_at=now()))
    async with db.connection() as connection:
        await connection.execute(outbox.INSERT, *row)
    return str(row[0])


async def refused(db: Database, times: int) -> bool:
    return bool(await db.pool.fetchval("SELECT bool_or(returned >= $1) FROM outbox", times))


async def waits_long(db: Database) -> bool:
    return bool(await db.pool.fetchval("SELECT bool_or(available_at - now() > '0.3 s') FROM outbox"))


async def published(db: Database, event_id: str) -> bool:
    return not await db.pool.fetchval("SELECT count(*) FROM outbox WHERE id = $1::text::uuid", event_id)


async def runs(relay: Relay) -> bool:
    try:
        await relay.check()
    except ConnectionError:
        return False
    return True
