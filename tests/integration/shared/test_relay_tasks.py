"""Tasks between a real database and a real broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from shared.clock import now
from shared.contracts import events, topology
from shared.contracts.tasks import Task
from shared.db.engine import Database
from shared.outbox.relay import Relay
from shared.outbox.tasks import ConnectionTasks, DurableTasks
from shared.server.background import Background
from tests.support.backends import RabbitBackend
from tests.support.patience import PATIENCE_S
from tests.support.waiting import eventually


class PeelPotato(Task, frozen=True, kw_only=True):
    number: int


class CutCarrot(Task, frozen=True, kw_only=True):
    number: int


class Hasty(Relay):
    """Looks again soon, and waits long for the broker: the machine may be busy."""

    POLL_S = 0.05
    PUBLISH_TIMEOUT_S = PATIENCE_S
    RECONNECT_S = 0.05
    RETURNED_DELAY_S = 0.1


@pytest.fixture
async def potatoes(channel: AbstractChannel) -> AsyncIterator[AbstractQueue]:
    """The queue of the one job that takes `PeelPotato`."""
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(topology.TASKS, PeelPotato.type)
    yield queue
    await queue.delete(if_unused=False, if_empty=False)


@asynccontextmanager
async def relaying(db: Database, rabbitmq: RabbitBackend) -> AsyncIterator[None]:
    async with Background() as background:
        background.start("relay", Hasty(db, rabbitmq.url, "shop").run)
        yield


async def next_of(queue: AbstractQueue) -> AbstractIncomingMessage:
    found: list[AbstractIncomingMessage] = []

    async def arrived() -> bool:
        if message := await queue.get(fail=False, no_ack=True):
            found.append(message)
        return bool(found)

    await eventually(arrived, PATIENCE_S)
    return found[0]


async def rows(db: Database) -> int:
    return int(await db.pool.fetchval("SELECT count(*) FROM outbox"))


async def is_empty(db: Database) -> bool:
    return await rows(db) == 0


async def test_a_task_arrives_with_its_due_time_and_its_key(
    db: Database, rabbitmq: RabbitBackend, potatoes: AbstractQueue
) -> None:
    """At the exchange of tasks, as a command that the contract can decode; `seen` is after the commit."""
    due_at, before = now() + timedelta(hours=1), await clock(db)
    async with db.begin() as session:
        task_id = DurableTasks(session).add_task(PeelPotato(number=7), at=due_at, key="potato 7")
    async with relaying(db, rabbitmq):
        message = await next_of(potatoes)
        await eventually(lambda: is_empty(db))
    assert (message.exchange, message.routing_key) == (topology.TASKS, "task.peel_potato")
    assert (message.message_id, message.headers["id"]) == (str(task_id), str(task_id))
    assert message.headers["source"] == "/shop"
    assert message.headers["dataschema"] == "urn:dashboard:task:peel_potato:1"
    envelope = events.decode(message.headers, message.body)
    assert (envelope.id, envelope.event) == (task_id, PeelPotato(number=7))
    assert (envelope.due_at, envelope.key) == (due_at, "potato 7")
    assert envelope.seen_at is not None
    assert before <= envelope.time <= envelope.seen_at


async def test_a_task_without_delay_and_key_has_neither_header(
    db: Database, rabbitmq: RabbitBackend, potatoes: AbstractQueue
) -> None:
    """Also a task that was added on an asyncpg connection, as in a job."""
    tasks = ConnectionTasks()
    task_id = tasks.add_task(PeelPotato(number=1))
    async with db.connection() as connection, connection.transaction():
        await tasks.flush(connection)
    async with relaying(db, rabbitmq):
        message = await next_of(potatoes)
    assert message.message_id == str(task_id)
    assert not {"due", "key", "seen"} & set(message.headers)
    envelope = events.decode(message.headers, message.body)
    assert (envelope.due_at, envelope.key, envelope.seen_at) == (None, None, None)


async def test_a_task_without_a_queue_waits_and_is_sent_once_there_is_one(
    db: Database, rabbitmq: RabbitBackend, channel: AbstractChannel, potatoes: AbstractQueue
) -> None:
    """Its worker has never run. Other tasks do not wait for it."""
    async with db.begin() as session:
        waiting = DurableTasks(session).add_task(CutCarrot(number=1))
    async with db.begin() as session:
        other = DurableTasks(session).add_task(PeelPotato(number=2))
    async with relaying(db, rabbitmq):
        assert (await next_of(potatoes)).message_id == str(other)
        await eventually(lambda: returned_twice(db, waiting))
        carrots = await channel.declare_queue(exclusive=True)
        await carrots.bind(topology.TASKS, CutCarrot.type)
        assert (await next_of(carrots)).message_id == str(waiting)
        await eventually(lambda: is_empty(db))
        assert await carrots.get(fail=False, no_ack=True) is None
    await carrots.delete(if_unused=False, if_empty=False)


async def returned_twice(db: Database, task_id: UUID) -> bool:
    return bool(await db.pool.fetchval("SELECT returned >= 2 FROM outbox WHERE id = $1", task_id))


async def clock(db: Database) -> datetime:
    at: datetime = await db.pool.fetchval("SELECT now()")
    return at


async def test_a_task_is_for_no_one_unless_it_names_a_user(db: Database) -> None:
    """The row has the task's `user_id`, or the id of nobody."""
    user_id = uuid4()
    async with db.begin() as session:
        tasks = DurableTasks(session)
        ids = tasks.add_task(PeelPotato(number=1)), tasks.add_task(PeelPotato(user_id=user_id, number=2))
    found = {row["id"]: row["user_id"] for row in await db.pool.fetch("SELECT id, user_id FROM outbox")}
    assert found == {ids[0]: UUID(int=0), ids[1]: user_id}
