"""Statistics of one queue in this process: the last arrival, and the messages in flight."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.abc import AbstractChannel

from services.worker import metrics
from services.worker.broker.acknowledgements import Acknowledger, InboundMessage
from services.worker.ledger.job import Job
from services.worker.ledger.sql import FIND_PAUSED
from shared.contracts import topology
from shared.db.engine import Database
from shared.observability.logs import get_logger
from shared.rabbitmq import LOST, Nodes


class QueueStats:
    def __init__(self, acknowledger: Acknowledger) -> None:
        self._acknowledger = acknowledger
        self._unsettled: WeakKeyDictionary[AbstractChannel, int] = WeakKeyDictionary()
        self.delivered = 0
        self.last_delivery = time.monotonic()
        """Or the start."""

    def arrived(self, inbound: InboundMessage) -> None:
        self.delivered += 1
        self.last_delivery = time.monotonic()
        self._unsettled[inbound.channel] = self.unsettled(inbound.channel) + 1

    @property
    def in_hand(self) -> int:
        return sum(self._unsettled.values())

    def unsettled(self, channel: AbstractChannel) -> int:
        return self._unsettled.get(channel, 0)

    async def acknowledge(self, received: Sequence[InboundMessage]) -> None:
        await self._acknowledger.acknowledge(received)
        self._settled(received)

    async def give_back(self, received: Sequence[InboundMessage]) -> None:
        await self._acknowledger.give_back(received)
        self._settled(received)

    def _settled(self, received: Sequence[InboundMessage]) -> None:
        for channel, count in Counter(inbound.channel for inbound in received).items():
            self._unsettled[channel] = self.unsettled(channel) - count


log = get_logger(__name__)

EVERY_S = 2.0
TIMEOUT_S = 5.0
MOST_COUNTED = 10_000
"""Of each job at most this many rows are counted, those that are due first: counting a million takes half a second."""
MEASURE = """
    SELECT asked.job, waiting.state, count(*) AS jobs,
        greatest(0, extract(epoch FROM now() - min(waiting.next_attempt_at)))::float8 AS overdue_s
    FROM unnest($1::text[]) AS asked (job) CROSS JOIN LATERAL (
        (
            SELECT state, next_attempt_at FROM jobs
            WHERE job = asked.job AND state IN ('retrying', 'scheduled') AND lane IS NULL
            ORDER BY next_attempt_at LIMIT $2
        )
        UNION ALL
        (
            SELECT state, next_attempt_at FROM jobs
            WHERE job = asked.job AND state = 'retrying' AND lane IS NOT NULL LIMIT $2
        )
    ) AS waiting
    GROUP BY asked.job, waiting.state
"""
GAUGES = {"retrying": metrics.RETRYING, "scheduled": metrics.SCHEDULED}


async def measure_queues(rabbitmq_url: str, jobs: Sequence[Job]) -> None:
    """Run until cancelled, on a separate connection: as long as it works, the broker can be queried."""
    nodes = Nodes(rabbitmq_url)
    queues = [*(job.queue.name for job in jobs if job.queue), topology.DEAD_QUEUE]
    while True:
        try:
            async with aio_pika.Connection(nodes.next()) as connection:
                await connection.connect(timeout=TIMEOUT_S)
                while True:
                    async with asyncio.timeout(TIMEOUT_S):
                        for queue in queues:
                            await _measure(connection, queue)
                    await asyncio.sleep(EVERY_S)
        except LOST as down:
            log.debug("queues cannot be measured", error=repr(down))
        finally:
            metrics.QUEUE_MESSAGES.clear()
            metrics.QUEUE_CONSUMERS.clear()
        await asyncio.sleep(EVERY_S)


async def measure_ledger(db: Database, jobs: Sequence[Job]) -> None:
    """Measure once."""
    try:
        async with db.connection() as connection:
            rows = await connection.fetch(MEASURE, [job.name for job in jobs], MOST_COUNTED)
            paused = {row["job"] for row in await connection.fetch(FIND_PAUSED)}
    except Exception:
        for gauge in (*GAUGES.values(), metrics.OVERDUE, metrics.QUEUE_PAUSED):
            gauge.clear()
        raise
    waiting = {(row["job"], row["state"]): row["jobs"] for row in rows}
    for job in jobs:
        for state, gauge in GAUGES.items():
            gauge.labels(job.name).set(waiting.get((job.name, state), 0))
        late_s = max((row["overdue_s"] for row in rows if row["job"] == job.name), default=0)
        metrics.OVERDUE.labels(job.name).set(0 if job.name in paused else late_s)
        if job.queue:
            metrics.QUEUE_PAUSED.labels(job.queue.name).set(job.name in paused)


async def _measure(connection: AbstractConnection, queue: str) -> None:
    """Use a separate channel: querying a missing queue closes the channel."""
    try:
        async with connection.channel(publisher_confirms=False) as channel:
            found = (await channel.declare_queue(queue, passive=True)).declaration_result
    except ChannelNotFoundEntity:
        for gauge in (metrics.QUEUE_MESSAGES, metrics.QUEUE_CONSUMERS):
            gauge.remove_by_labels({"queue": queue})
        return
    metrics.QUEUE_MESSAGES.labels(queue).set(found.message_count or 0)
    metrics.QUEUE_CONSUMERS.labels(queue).set(found.consumer_count or 0)
