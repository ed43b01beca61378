"""The relay between a real database and a real broker."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from shared.clock import now
from shared.contracts import events, topology
from shared.db.engine import Database
from shared.observability import telemetry
from shared.outbox import outbox
from shared.outbox.relay import TAKE, Relay
from shared.server.background import Background
from tests.support.backends import RabbitBackend
from tests.support.link import Link
from tests.support.metrics import sample
from tests.support.patience import PATIENCE_S
from tests.support.spans import recorded
from tests.support.waiting import eventually


class Hasty(Relay):
    """Looks again soon, and waits long for the broker: the machine may be busy."""

    POLL_S = 0.05
    PUBLISH_TIMEOUT_S = PATIENCE_S
    RECONNECT_S = 0.05
    RETURNED_DELAY_S = 0.1
    MEASURE_S = 0.05


class SmallBatches(Hasty):
    BATCH = 20


class Tap:
    """What arrives at the exchange `events`, of one user."""

    def __init__(self, queue: AbstractQueue, user_id: UUID) -> None:
        self.queue = queue
        self._user_id = str(user_id)

    async def next(self) -> AbstractIncomingMessage:
        found: list[AbstractIncomingMessage] = []

        async def arrived() -> bool:
            message = await self.queue.get(fail=False, no_ack=True)
            if message and message.headers["subject"] == self._user_id:
                found.append(message)
            return bool(found)

        await eventually(arrived, PATIENCE_S)
        return found[0]

    async def ids(self, count: int) -> list[str]:
        return [str((await self.next()).message_id) for _ in range(count)]


@pytest.fixture
def user_id() -> UUID:
    return uuid4()


@pytest.fixture
async def tap(channel: AbstractChannel, user_id: UUID) -> Tap:
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(topology.EVENTS, "#")
    return Tap(queue, user_id)


@asynccontextmanager
async def running(*relays: Relay) -> AsyncIterator[None]:
    def fail() -> None:
        raise AssertionError("a relay has ended")

    async with Background(fail) as background:
        for each in relays:
            background.start("relay", each.run)
        yield
    assert background.failure is None


def _rows(user_id: UUID, count: int) -> list[tuple[Any, ...]]:
    event = events.UserDeleted(user_id=user_id, revision=1, deleted_at=now())
    return [outbox.row(event) for _ in range(count)]


async def _add(db: Database, user_id: UUID, count: int = 1) -> list[str]:
    """So many events; their ids."""
    rows = _rows(user_id, count)
    async with db.connection() as connection:
        await connection.executemany(outbox.INSERT, rows)
    return [str(row[0]) for row in rows]


def _has_rows(db: Database, count: int) -> Callable[[], Awaitable[bool]]:
    async def has_rows() -> bool:
        return bool(await db.pool.fetchval("SELECT count(*) = $1 FROM outbox", count))

    return has_rows


async def test_an_event_arrives_as_the_contract_says(
    db: Database, rabbitmq: RabbitBackend, tap: Tap, user_id: UUID
) -> None:
    """Persistent, its id as message id, the CloudEvents attributes as headers, the fields as JSON; the row is gone."""
    trace = telemetry.Trace.start()
    telemetry.current_trace.set(trace)
    event = events.UserDeleted(user_id=user_id, revision=3, deleted_at=now())
    async with running(Hasty(db, rabbitmq.url, "users")), db.begin() as session:
        event_id = await outbox.add(session, event)
        await session.commit()
        message = await tap.next()
        await eventually(_has_rows(db, 0))
    assert (message.message_id, message.routing_key) == (str(event_id), "user.deleted")
    assert message.delivery_mode == DeliveryMode.PERSISTENT
    assert message.content_type == "application/json"
    expected = {
        "id": str(event_id),
        "type": "user.deleted",
        "source": "/users",
        "subject": str(user_id),
        "dataschema": "urn:dashboard:event:user.deleted:1",
        "traceparent": str(trace),
        "specversion": "1.0",
    }
    assert {name: message.headers[name] for name in expected} == expected
    envelope = events.decode(message.headers, message.body)
    assert (envelope.id, envelope.event) == (event_id, event)
    assert str(message.headers["time"]).endswith("Z")


async def test_two_relays_publish_each_row_once(db: Database, rabbitmq: RabbitBackend, tap: Tap, user_id: UUID) -> None:
    """They share one outbox without publishing anything twice or leaving anything."""
    async with running(*(SmallBatches(db, rabbitmq.url, "users") for _ in range(2))):
        added = [event_id for _ in range(5) for event_id in await _add(db, user_id, 40)]
        await eventually(_has_rows(db, 0))
        received = await tap.ids(len(added))
    assert sorted(received) == sorted(added)


async def test_a_relay_that_is_killed_leaves_its_batch_to_the_other(
    db: Database, rabbitmq: RabbitBackend, tap: Tap, user_id: UUID
) -> None:
    """Cut off while it waits for the confirms of a batch: the other sends all rows; only that batch may come twice."""
    async with Link.to(rabbitmq.url) as link:
        doomed = Hasty(db, link.url, "users")
        async with running(doomed):
            await eventually(lambda: _succeeds(doomed.check))
            link.silence()
            batch = await _add(db, user_id, 3)
            first = await tap.ids(3)
            async with running(Hasty(db, rabbitmq.url, "users")):
                others = await _add(db, user_id, 20)
                assert sorted(await tap.ids(20)) == sorted(others)
                await link.cut()
                again = await tap.ids(3)
                await eventually(_has_rows(db, 0))
    assert sorted(first) == sorted(again) == sorted(batch)


async def test_a_row_stays_when_the_broker_dies_before_it_confirms(
    db: Database, rabbitmq: RabbitBackend, tap: Tap, user_id: UUID
) -> None:
    """The message has arrived, its confirm has not: the row stays, and goes out again with the same id."""
    async with Link.to(rabbitmq.url) as link:
        relay = Hasty(db, link.url, "users")
        async with running(relay):
            await eventually(lambda: _succeeds(relay.check))
            link.silence()
            added = await _add(db, user_id)
            assert await tap.ids(1) == added
            assert await _has_rows(db, 1)()
            await link.cut()
            await eventually(lambda: _fails(relay.check))
            assert await _has_rows(db, 1)()
            await link.mend()
            assert await tap.ids(1) == added
            await eventually(_has_rows(db, 0))


@pytest.mark.full
async def test_a_broker_that_says_nothing_is_left_for_a_new_connection(
    db: Database, rabbitmq: RabbitBackend, tap: Tap, user_id: UUID
) -> None:
    """A publish has its own timeout; after it the relay connects anew and the row goes out."""
    async with Link.to(rabbitmq.url) as link:
        relay = Hasty(db, link.url, "users")
        async with running(relay):
            await eventually(lambda: _succeeds(relay.check))
            link.silence()
            relay.PUBLISH_TIMEOUT_S = 0.3  # for this one publish
            added = await _add(db, user_id)
            assert await tap.ids(1) == added
            relay.PUBLISH_TIMEOUT_S = PATIENCE_S
            assert await tap.ids(1) == added
            await eventually(_has_rows(db, 0))


async def test_an_event_without_a_queue_waits_for_one_and_holds_up_no_other(
    db: Database, rabbitmq: RabbitBackend, tap: Tap, user_id: UUID
) -> None:
    """Returned by the broker, it stays, and the metrics rise; what comes after it goes out. So does it, once it can."""
    returned = _metric("outbox_returned_total")
    async with db.connection() as connection:
        lost = outbox.row(events.UserDeleted(user_id=user_id, revision=1, deleted_at=now()))
        await connection.execute(outbox.INSERT, lost[0], lost[1], "nobody.cares", *lost[3:])
    await tap.queue.unbind(topology.EVENTS, "#")
    await tap.queue.bind(topology.EVENTS, "user.*")
    added = await _add(db, user_id)
    relay = Hasty(db, rabbitmq.url, "users")
    async with running(relay), Background() as measuring:
        measuring.every(relay.MEASURE_S, "gauges", relay.measure)
        assert await tap.ids(1) == added
        await eventually(lambda: _is(lambda: _metric("outbox_returned_total") >= returned + 2))
        await eventually(lambda: _is(lambda: _metric("outbox_waiting") == 1))
        await eventually(lambda: _is(lambda: _metric("outbox_oldest_age_seconds") > 0))
        assert await _has_rows(db, 1)()
        await tap.queue.bind(topology.EVENTS, "#")
        assert await tap.ids(1) == [str(lost[0])]
        await eventually(_has_rows(db, 0))


async def test_the_relay_outlives_its_database(db: Database, rabbitmq: RabbitBackend, tap: Tap, user_id: UUID) -> None:
    """All its connections are ended from outside; it comes back and publishes what was added since."""
    relay = Hasty(db, rabbitmq.url, "users")
    async with running(relay):
        await eventually(lambda: _succeeds(relay.check))
        async with db.connection() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            [added] = _rows(user_id, 1)
            await connection.execute(outbox.INSERT, *added)
        assert await tap.ids(1) == [str(added[0])]


def _metric(name: str) -> float:
    return sample(name) or 0


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()


async def _succeeds(check: Callable[[], Awaitable[None]]) -> bool:
    try:
        await check()
    except ConnectionError:
        return False
    return True


async def _fails(check: Callable[[], Awaitable[None]]) -> bool:
    return not await _succeeds(check)


async def test_an_event_of_a_recorded_trace_is_published_within_it(
    db: Database, rabbitmq: RabbitBackend, tap: Tap, user_id: UUID
) -> None:
    """The publishing is a span under what caused the event, and the message names that span as its own cause."""
    cause = telemetry.Trace("1" * 32, "2" * 16, telemetry.SAMPLED)
    telemetry.current_trace.set(cause)
    with recorded() as spans:
        [event_id] = await _add(db, user_id)
        async with running(Hasty(db, rabbitmq.url, "users")):
            message = await tap.next()
            await eventually(lambda: [span for span in spans if span.name == "publish events"])
    span = spans.named("publish events")
    assert (span.trace.trace_id, span.parent_id) == (cause.trace_id, cause.span_id)
    assert message.headers["traceparent"] == str(span.trace)
    assert span.attributes["messaging.message.id"] == event_id
    assert str(user_id) not in str(span.attributes)


async def test_a_row_is_seen_after_its_commit(db: Database) -> None:
    """Also if the relay's transaction began in between: otherwise the worker could suppress a task that was committed
    after another one with its key had started."""
    async with db.connection() as relaying:
        async with db.begin() as session:
            await outbox.add(session, events.UserDeleted(user_id=uuid4(), revision=1, deleted_at=now()))
            relay = relaying.transaction()
            await relay.start()
        committed = await db.pool.fetchval("SELECT clock_timestamp()")
        [row] = await relaying.fetch(TAKE, 1)
        await relay.rollback()
    assert row["seen_at"] >= committed
