"""The consumers: one for each job's queue and one for dead letters, kept running as long as the process.

Repeated samples show whether they make progress, and when only a restart may help.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from faststream.rabbit import RabbitBroker

from services.worker import metrics
from services.worker.broker import rabbitmq
from services.worker.broker.acknowledgements import Acknowledger, BatchAcknowledger
from services.worker.broker.batch_collector import BatchConsumer
from services.worker.broker.message_processor import MessageProcessor
from services.worker.broker.queue_stats import QueueStats
from services.worker.broker.rabbitmq import Source
from services.worker.ledger.backpressure import Backpressure
from services.worker.ledger.job import Job
from services.worker.ledger.ledger import Ledger
from services.worker.live_hints import Hints
from services.worker.settings import Settings, Tuning
from shared.contracts import topology
from shared.contracts.topology import JobQueue
from shared.observability.logs import get_logger
from shared.rabbitmq import LOST, Nodes

log = get_logger(__name__)
DEAD_PREFETCH = 10
NOT_CONNECTED, WAITING = "not connected", "waiting for the ledger"


@dataclass(frozen=True, slots=True)
class Sample:
    """`ready` is what the broker could deliver, `delivered` the total so far, `unsettled` the messages in flight."""

    at: float
    ready: int
    delivered: int
    unsettled: int


class StallDetector:
    """A queue that has messages, could deliver them and does not has stalled: its consumer is not working."""

    def __init__(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self._last: Sample | None = None
        self._waiting_since: float | None = None
        self.progresses = False
        """Whether it makes progress, as far as two samples can show."""

    def observe(self, sample: Sample) -> None:
        last, self._last = self._last, sample
        idle = last is not None and last.delivered == sample.delivered
        if not (sample.ready and idle and sample.unsettled < self._prefetch):
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = sample.at
        self.progresses = last is not None and self._waiting_since is None

    def stalled_s(self, now: float) -> float:
        return 0.0 if self._waiting_since is None else now - self._waiting_since


class Grace:
    """Expires when the consumers have been unhealthy for long without recovering once."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._failing_since: float | None = None

    def recovered(self) -> None:
        self._failing_since = None

    def failed(self, now: float) -> None:
        if self._failing_since is None:
            self._failing_since = now

    def has_expired(self, now: float) -> bool:
        return self._failing_since is not None and now - self._failing_since > self._limit_s


class ConsumerMissing(Exception):
    """A queue has no consumer of this process."""


class ConsumerStalled(ConsumerMissing):
    """A queue has a consumer that receives nothing."""


class LedgerAway(Exception):
    """The ledger has not been writable for longer than messages are held."""


DOWN = (*LOST, ConsumerMissing)


@dataclass(frozen=True, slots=True)
class Consumer:
    queue: str
    source: Source
    stats: QueueStats
    stall_detector: StallDetector

    async def check(self) -> bool:
        """Checks whether it consumes, and remembers the result."""
        consumed = await rabbitmq.consumed(self.source)
        metrics.LAST_DELIVERY.labels(self.queue).set(time.monotonic() - self.stats.last_delivery)
        if consumed is None:
            return False
        channel, ready = consumed
        self.stall_detector.observe(
            Sample(time.monotonic(), ready, self.stats.delivered, self.stats.unsettled(channel))
        )
        return True


class Consumers:
    LOOK_TIMEOUT_S = 1.5
    RECOVER_S = 20.0
    """How long aio-pika may take to restore lost consumers before everything is reconnected."""

    def __init__(
        self,
        settings: Settings,
        tuning: Tuning,
        ledger: Ledger,
        jobs: Iterable[Job],
        hints: Hints,
        on_stuck: Callable[[str | None], None],
    ) -> None:
        self._tuning = tuning
        self._grace_s = settings.shutdown_grace_s
        self._nodes = Nodes(settings.rabbitmq_url)
        self._ledger = ledger
        self._jobs = {job.name: job for job in jobs}
        self._hints = hints
        self._on_stuck = on_stuck
        self._grace = Grace(tuning.stuck_after_s)
        self._consumers: list[Consumer] = []
        self._missing = NOT_CONNECTED
        self._queues = [job.queue for job in self._jobs.values() if job.queue]
        metrics.CONSUMERS_EXPECTED.set(len(self._queues) + 1)
        metrics.CONSUMERS.set(0)

    async def run(self) -> None:
        """Run until cancelled; then finish in-flight messages. Raises `TopologyMismatch`, or `ProcessorFailed`,
        after which it can be run again."""
        while True:
            await self._until_ledger_is_writable()
            try:
                async with self._consuming() as (backpressure, processor):
                    await self._keep_watch(backpressure, processor)
            except LedgerAway as away:
                log.warning("worker stopped taking messages", error=str(away))
                self._missing = WAITING
            except DOWN as down:
                log.warning("worker waiting for RabbitMQ", error=repr(down))
                await self._judge(down)
            await asyncio.sleep(self._tuning.reconnect_s)

    async def check(self) -> None:
        """For readiness: raises, and names the queues, unless each has a consumer of this process."""
        if not self._consumers:
            raise ConsumerMissing(f"{self._missing}; no queue has a consumer")
        try:
            async with asyncio.timeout(self.LOOK_TIMEOUT_S):
                missing = [one.queue for one in self._consumers if not await one.check()]
        except TimeoutError:
            metrics.CONSUMERS.set(0)
            raise ConsumerMissing("RabbitMQ does not respond; no queue has a consumer") from None
        metrics.CONSUMERS.set(len(self._consumers) - len(missing))
        if missing:
            raise ConsumerMissing(f"no consumer on {', '.join(missing)}")

    async def _until_ledger_is_writable(self) -> None:
        """Messages wait in the queues: there, unlike here, an outage of any length costs them no delivery."""
        while True:
            try:
                await self._ledger.probe()
            except Exception as error:
                self._missing = WAITING
                self._recovered()
                log.warning("the ledger cannot be written", error=repr(error))
                await asyncio.sleep(self._tuning.requeue_pause_s)
            else:
                self._missing = NOT_CONNECTED
                return

    async def _keep_watch(self, backpressure: Backpressure, processor: MessageProcessor) -> None:
        """Never returns. Raises `LedgerAway`, `ProcessorFailed`, `ConsumerStalled`, or if consumers have been
        missing for longer than aio-pika should need to restore them."""
        complete_at = time.monotonic()
        while True:
            await asyncio.sleep(self._tuning.watch_interval_s)
            processor.check()
            if backpressure.failing_s > self._tuning.hold_s:
                raise LedgerAway(f"the ledger could not be written for {backpressure.failing_s:.0f} s")
            try:
                await self.check()
                complete_at = time.monotonic()
            except DOWN as down:
                log.warning("consumers lost", error=str(down))
                if time.monotonic() - complete_at > self.RECOVER_S:
                    raise
            else:
                self._refuse_stalled()

    def _refuse_stalled(self) -> None:
        now = time.monotonic()
        stalled = [one.queue for one in self._consumers if one.stall_detector.stalled_s(now) > self._tuning.stall_s]
        if stalled:
            raise ConsumerStalled(f"no deliveries from {', '.join(stalled)}")
        if all(one.stall_detector.progresses for one in self._consumers):
            self._recovered()

    async def _judge(self, down: Exception) -> None:
        """Only while RabbitMQ is healthy can the fault be in this process, so that a restart may help."""
        if not await rabbitmq.answers(self._nodes, self._queues):
            self._recovered()
            return
        self._grace.failed(time.monotonic())
        if self._grace.has_expired(time.monotonic()):
            log.error("worker is stuck", error=repr(down))
            self._on_stuck(repr(down))

    def _recovered(self) -> None:
        """Report that a restart would not help: the consumers work, or the fault is elsewhere."""
        self._grace.recovered()
        self._on_stuck(None)

    @asynccontextmanager
    async def _consuming(self) -> AsyncIterator[tuple[Backpressure, MessageProcessor]]:
        tuning = self._tuning
        backpressure = Backpressure(self._ledger.probe, tuning.requeue_pause_s, tuning.hold_s)
        async with (
            rabbitmq.connected(self._nodes, tuning.reconnect_s, self._queues) as connection,
            rabbitmq.publishing(self._nodes, tuning.reconnect_s) as publishing,
            self._hints.sent_by(publishing),
            MessageProcessor(self._ledger, backpressure, self._grace_s) as processor,
        ):
            consumers = [
                *(self._consumer(connection, processor, job, job.queue) for job in self._jobs.values() if job.queue),
                self._dead_letter_consumer(connection, processor),
            ]
            sources = [one.source for one in consumers]
            try:
                await rabbitmq.start(connection, sources)
                self._consumers = consumers
                log.info("consuming", queues=[one.queue for one in consumers])
                yield backpressure, processor
            finally:
                self._consumers = []
                metrics.CONSUMERS.set(0)
                await rabbitmq.stop(sources)

    def _consumer(
        self, connection: RabbitBroker, processor: MessageProcessor, job: Job, job_queue: JobQueue
    ) -> Consumer:
        queue, prefetch = job_queue.name, job.policy.prefetch
        stats = QueueStats(BatchAcknowledger() if job.batching else Acknowledger())
        consume = BatchConsumer if job.batching else rabbitmq.subscriber
        source = consume(connection, queue, prefetch, processor.handler(job, stats))
        return _watched(queue, source, stats, prefetch)

    def _dead_letter_consumer(self, connection: RabbitBroker, processor: MessageProcessor) -> Consumer:
        stats = QueueStats(Acknowledger())
        source = rabbitmq.subscriber(
            connection, topology.DEAD_QUEUE, DEAD_PREFETCH, processor.dead_letter_handler(self._jobs, stats)
        )
        return _watched(topology.DEAD_QUEUE, source, stats, DEAD_PREFETCH)


def _watched(queue: str, source: Source, stats: QueueStats, prefetch: int) -> Consumer:
    metrics.IN_HAND.labels(queue).set_function(lambda: stats.in_hand)
    metrics.IN_HAND_LIMIT.labels(queue).set(prefetch)
    return Consumer(queue, source, stats, StallDetector(prefetch))
