"""The relay: reads rows from the outbox, publishes them with confirms, and deletes those that every queue has taken.

Several relays may share an outbox (`SKIP LOCKED`). A crash between the broker's confirm and the commit publishes a
batch again, with the same ids; the consumers' ledger discards the duplicates.

A service that owns a database and publishes events is `running` with its relay. Any other application is `relaying`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aio_pika
import asyncpg
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError
from fastapi import FastAPI
from prometheus_client import Counter, Gauge

from shared.clock import now, rfc3339
from shared.contracts import topology
from shared.db.engine import UNAVAILABLE, Connection, Database, DatabaseSettings
from shared.observability import tracing
from shared.observability.logs import get_logger
from shared.observability.telemetry import Trace
from shared.observability.tracing import Kind
from shared.outbox import outbox
from shared.outbox.publisher import Publisher, QueueLost, connected
from shared.rabbitmq import Nodes
from shared.server.background import Background

PUBLISHED = Counter("outbox_published_total", "Events that the broker has confirmed.")
RETURNED = Counter("outbox_returned_total", "Events that not every queue has taken; they stay in the outbox.")
WAITING = Gauge("outbox_waiting", "Rows in the outbox.")
OLDEST = Gauge("outbox_oldest_age_seconds", "Age of the oldest row in the outbox.")

log = get_logger(__name__)

TAKE = """
    SELECT id, user_id, type, dataschema, payload, traceparent, created_at, due_at, key,
        clock_timestamp() AS seen_at
    FROM outbox
    WHERE available_at <= now() ORDER BY available_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
POSTPONE = """
    UPDATE outbox SET returned = returned + 1,
        available_at = now() + least($2 * 2 ^ least(returned, 30), $3) * interval '1 second'
    WHERE id = ANY($1)
"""
SLOT = "SELECT slot FROM generate_series(0, 999) AS slot WHERE pg_try_advisory_lock($1, slot) LIMIT 1"
SLOTS_CLASS = 0x72656C61
"""The namespace of our advisory locks in the database."""
MEASURE = "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM outbox"

DOWN: tuple[type[Exception], ...] = (AMQPError, ChannelInvalidStateError, *UNAVAILABLE)


class ProducerSettings(DatabaseSettings):
    """The settings of a service that publishes events."""

    rabbitmq_url: str
    """`amqp://user:password@host:port/vhost`; for a cluster, one URL per node, separated by commas."""


@asynccontextmanager
async def running(
    app: FastAPI, service: str, settings: ProducerSettings, lock_timeout_s: float = 0
) -> AsyncIterator[Database]:
    """Provide the database as `app.state.db` and run the relay in the background, within the block. `lock_timeout_s` is
    how long a statement waits for a lock; 0 disables the limit.

    Without RabbitMQ such a service is only degraded: it accepts requests, and events wait in the outbox.
    """
    async with Database.open(settings, lock_timeout_s=lock_timeout_s) as db, Background() as background:
        relay = Relay(db, settings.rabbitmq_url, service)
        background.start("relay", relay.run)
        background.every(relay.MEASURE_S, "outbox gauges", relay.measure)
        app.state.db = db
        app.state.background = background
        app.state.checks.needed["postgres"] = db.ping
        app.state.checks.useful |= {"rabbitmq": relay.check, "background": background.check}
        yield db


@dataclass(frozen=True, slots=True)
class _OutboxLocation:
    database_url: str
    listen_database_url: str
    pool_size: int = 2


@asynccontextmanager
async def relaying(
    source: str, *, database_url: str, rabbitmq_url: str, listen_database_url: str = ""
) -> AsyncIterator["Relay"]:
    """Publish the outbox of an application within the block, on connections of its own: at most three.

    `source` names the application in its events and tasks. `database_url` is that of its database (asyncpg's, so
    `postgresql://…`), and `listen_database_url` the same without a pooler. Rows wait in the outbox while RabbitMQ is
    down; the result's `check` raises meanwhile.
    """
    location = _OutboxLocation(database_url, listen_database_url)
    async with Database.open(location) as db, Background() as background:
        relay = Relay(db, rabbitmq_url, source)
        background.start("relay", relay.run)
        background.every(relay.MEASURE_S, "outbox gauges", relay.measure)
        yield relay


class Relay:
    """Publishes one service's outbox while `run` runs; survives the loss of the broker and the database."""

    CONNECTION = aio_pika.Connection
    PUBLISHER: type[Publisher] = Publisher
    BATCH = 200
    POLL_S = 1.0
    """How long a row may wait if its NOTIFY was missed."""
    PUBLISH_TIMEOUT_S = 10.0
    """The timeout around the whole call: a publish hangs while the connection is down."""
    RETURNED_DELAY_S, RETURNED_LONGEST_S = 5.0, 60.0
    """The first and the longest backoff of a row after a queue has refused it; it doubles each time."""
    RECONNECT_S = 1.0
    MEASURE_S = 2.0

    def __init__(self, db: Database, rabbitmq_url: str, source: str) -> None:
        self._db = db
        self._nodes = Nodes(rabbitmq_url)
        self._source = f"/{source}"
        self._publisher: Publisher | None = None

    async def run(self) -> None:
        """Runs until cancelled. Raises only `TopologyMismatch`, which retrying cannot fix."""
        while True:
            try:
                async with (
                    connected(self.CONNECTION(self._nodes.next())) as connection,
                    self._wakeups() as (wakeup, listener),
                    self._publishing(connection, listener) as publisher,
                ):
                    publisher.channel.close_callbacks.add(lambda *_: wakeup.set())
                    await publisher.probe.accepts()
                    log.info("relay running", source=self._source)
                    while not (publisher.channel.is_closed or listener.is_closed()):
                        wakeup.clear()
                        if await self.relay_batch(publisher) < self.BATCH:
                            await self._wait(wakeup)
                    log.warning("relay disconnected from the broker or the notifications")
            except DOWN as down:
                log.warning("relay waiting for the broker or the database", error=repr(down))
            await asyncio.sleep(self.RECONNECT_S)

    async def check(self) -> None:
        """For readiness: raises while the relay has no broker, or the broker accepts no messages."""
        if self._publisher is None:
            raise ConnectionError("not connected; events wait in the outbox")
        await self._publisher.probe.check()

    async def relay_batch(self, publisher: Publisher) -> int:
        """Publish one batch, and return its number of rows. Events that not every queue has taken stay for the next
        time."""
        async with self._db.connection() as connection, connection.transaction():
            rows = await connection.fetch(TAKE, self.BATCH)
            if not rows:
                return 0
            outcomes = await self._publish_all(publisher, rows)
            await self._settle(connection, rows, outcomes)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, DeliveryError):
                raise ConnectionError(repr(outcome)) from outcome
        return len(rows)

    async def _publish_all(self, publisher: Publisher, rows: Sequence[asyncpg.Record]) -> list[BaseException | None]:
        """Return the outcome of each. Raises if a queue is lost: then it is unknown which events it has."""
        types = {row["type"] for row in rows}
        await publisher.prepare(types)
        outcomes = await asyncio.gather(*(self._publish(publisher, row) for row in rows), return_exceptions=True)
        try:
            async with asyncio.timeout(self.PUBLISH_TIMEOUT_S):
                await publisher.check_received(types)
        except QueueLost as lost:
            RETURNED.inc(len(rows))
            log.warning("events stay in the outbox", count=len(rows), first=str(rows[0]["id"]), reason=str(lost))
            raise
        return outcomes

    async def _publish(self, publisher: Publisher, row: asyncpg.Record) -> None:
        cause = Trace.parse(row["traceparent"])
        if cause is None or not cause.sampled:
            await self._send(publisher, row, row["traceparent"])
            return
        with tracing.follow(cause, f"publish {topology.exchange_of(row['type'])}", Kind.PRODUCER) as span:
            span.set(_attributes(row))
            await self._send(publisher, row, str(span.trace) if span.recorded else row["traceparent"])

    async def _send(self, publisher: Publisher, row: asyncpg.Record, traceparent: str | None) -> None:
        async with asyncio.timeout(self.PUBLISH_TIMEOUT_S):
            await publisher.publish(self._message(row, traceparent), row["type"])

    async def _settle(self, connection: Connection, rows: Sequence[asyncpg.Record], outcomes: Sequence[object]) -> None:
        confirmed = [row["id"] for row, outcome in zip(rows, outcomes, strict=True) if outcome is None]
        returned = [
            row["id"] for row, outcome in zip(rows, outcomes, strict=True) if isinstance(outcome, DeliveryError)
        ]
        await connection.execute("DELETE FROM outbox WHERE id = ANY($1)", confirmed)
        PUBLISHED.inc(len(confirmed))
        if returned:
            await connection.execute(POSTPONE, returned, self.RETURNED_DELAY_S, self.RETURNED_LONGEST_S)
            RETURNED.inc(len(returned))
            log.error(
                "events wait: refused by a queue, or not routed to any", count=len(returned), first=str(returned[0])
            )

    def _message(self, row: asyncpg.Record, traceparent: str | None) -> aio_pika.Message:
        headers = {
            "specversion": "1.0",
            "id": str(row["id"]),
            "type": row["type"],
            "source": self._source,
            "time": rfc3339(row["created_at"]),
            "subject": str(row["user_id"]),
            "dataschema": row["dataschema"],
        }
        if traceparent:
            headers["traceparent"] = traceparent
        if row["due_at"]:
            headers["due"] = rfc3339(row["due_at"])
        if row["key"]:
            headers |= {"key": row["key"], "seen": rfc3339(row["seen_at"])}
        return aio_pika.Message(
            row["payload"].encode(),
            headers=dict(headers),
            message_id=str(row["id"]),
            type=row["type"],
            timestamp=row["created_at"],
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )

    async def measure(self) -> None:
        """Set the gauges, which matter most while the broker is down and the outbox grows."""
        async with self._db.connection() as connection:
            [(waiting, oldest)] = await connection.fetch(MEASURE)
        WAITING.set(waiting)
        OLDEST.set(float(oldest))

    async def _wait(self, wakeup: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.POLL_S):
                await wakeup.wait()

    @asynccontextmanager
    async def _publishing(
        self, connection: AbstractConnection, listener: asyncpg.Connection
    ) -> AsyncIterator[Publisher]:
        """The name is free again when the listener's session ends, so names do not accumulate in RabbitMQ."""
        slot = await listener.fetchval(SLOT, SLOTS_CLASS)
        async with self.PUBLISHER.declared(connection, f"{self._source[1:]}.{slot}") as publisher:
            self._publisher = publisher
            try:
                yield publisher
            finally:
                self._publisher = None

    @asynccontextmanager
    async def _wakeups(self) -> AsyncIterator[tuple[asyncio.Event, asyncpg.Connection]]:
        event = asyncio.Event()

        def wake(*_: object) -> None:
            event.set()

        async with self._db.listening(outbox.CHANNEL, wake) as listener:
            yield event, listener


def _attributes(row: asyncpg.Record) -> tracing.Attributes:
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": topology.exchange_of(row["type"]),
        "messaging.rabbitmq.destination.routing_key": row["type"],
        "messaging.message.id": str(row["id"]),
        "dashboard.outbox.waited_ms": int((now() - row["created_at"]).total_seconds() * 1000),
    }
