"""The consumers: one for each job's queue and one for dead letters, kept running as long as the process.

The consumers of paused jobs are stopped; their messages stay in the queues.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from faststream.rabbit import RabbitBroker

from services.worker import metrics
from services.worker.broker import rabbitmq, subscribers
from services.worker.broker.acknowledgements import Acknowledger, BatchAcknowledger
from services.worker.broker.consumer import Consumer
from services.worker.broker.message_processor import MessageProcessor
from services.worker.broker.queue_stats import QueueStats
from services.worker.broker.stall_detection import Grace
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
NOT_CONNECTED, WAITING = "not connected", "waiting for the ledger"


class ConsumerMissing(Exception):
    """A queue has no consumer of this process."""


class ConsumerStalled(ConsumerMissing):
    """A queue has a consumer that receives nothing."""


class LedgerAway(Exception):
    """The ledger has not been writable for longer than messages are held."""


DOWN = (*LOST, ConsumerMissing)


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
        self._jobs = list(jobs)
        self._hints = hints
        self._on_stuck = on_stuck
        self._grace = Grace(tuning.stuck_after_s)
        self._consumers: list[Consumer] = []
        self._missing = NOT_CONNECTED
        self._queues = [job.queue for job in self._jobs if job.queue]
        self._paused: frozenset[str] = frozenset()
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
        """For readiness: raises, and names the queues, unless each has a consumer of this process, except those of
        paused jobs."""
        if not self._consumers:
            raise ConsumerMissing(f"{self._missing}; no queue has a consumer")
        running = self._running()
        try:
            async with asyncio.timeout(self.LOOK_TIMEOUT_S):
                missing = [one.queue for one in running if not await one.check() and one.is_running]
        except TimeoutError:
            metrics.CONSUMERS.set(0)
            raise ConsumerMissing("RabbitMQ does not respond; no queue has a consumer") from None
        metrics.CONSUMERS.set(len(running) - len(missing))
        if missing:
            raise ConsumerMissing(f"no consumer on {', '.join(missing)}")

    def consuming(self) -> list[str]:
        """Return the queues that this process consumed when they were last checked."""
        return [one.queue for one in self._running() if one.is_consuming]

    def expected(self) -> int:
        """Return how many queues this process should consume: not those of paused jobs."""
        return sum(queue.job not in self._paused for queue in self._queues) + 1

    async def _until_ledger_is_writable(self) -> None:
        """Messages wait in the queues: there, unlike here, an outage of any length costs them no delivery."""
        while True:
            try:
                await self._ledger.probe()
                self._paused = await self._ledger.paused()
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
                await self._follow_pauses()

    def _running(self) -> list[Consumer]:
        return [one for one in self._consumers if one.is_running]

    async def _follow_pauses(self) -> None:
        """Stop the consumers of jobs that have been paused, and start those of resumed ones. While the ledger cannot
        be read, nothing changes. Raises `LOST`."""
        try:
            async with asyncio.timeout(self.LOOK_TIMEOUT_S):
                self._paused = await self._ledger.paused()
        except Exception as error:
            log.debug("paused jobs cannot be read", error=repr(error))
            return
        for one in self._consumers:
            pauses = one.job in self._paused
            if pauses is one.is_running:
                log.info("job paused" if pauses else "job resumed", queue=one.queue)
                async with asyncio.timeout(rabbitmq.CONNECT_TIMEOUT_S):
                    await (one.stop() if pauses else one.start())
        self._expect(self._consumers)

    def _expect(self, consumers: Iterable[Consumer]) -> None:
        metrics.CONSUMERS_EXPECTED.set(sum(one.job not in self._paused for one in consumers))

    def _refuse_stalled(self) -> None:
        now = time.monotonic()
        stalled = [one.queue for one in self._running() if one.stall_detector.stalled_s(now) > self._tuning.stall_s]
        if stalled:
            raise ConsumerStalled(f"no deliveries from {', '.join(stalled)}")
        if all(one.stall_detector.progresses for one in self._running()):
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
            rabbitmq.connected(self._nodes, tuning.reconnect_s) as connection,
            rabbitmq.connected(self._nodes, tuning.reconnect_s) as publishing,
            self._hints.sent_by(publishing),
            MessageProcessor(self._ledger, backpressure, self._grace_s) as processor,
        ):
            broker = subscribers.new_broker()
            consumers = [
                *(self._consumer(broker, processor, job, job.queue) for job in self._jobs if job.queue),
                self._dead_letter_consumer(broker, processor),
            ]
            try:
                async with asyncio.timeout(rabbitmq.DECLARE_TIMEOUT_S):
                    await topology.declare(await connection.channel(), self._queues)
                    subscribers.attach(broker, connection)
                    for one in consumers:
                        if one.job not in self._paused:
                            await one.start()
                self._consumers = consumers
                self._expect(consumers)
                log.info("consuming", queues=[one.queue for one in self._running()])
                yield backpressure, processor
            finally:
                self._consumers = []
                metrics.CONSUMERS.set(0)
                await rabbitmq.bounded(asyncio.gather(*(one.stop() for one in consumers), return_exceptions=True))

    def _consumer(self, broker: RabbitBroker, processor: MessageProcessor, job: Job, queue: JobQueue) -> Consumer:
        if job.batching:
            stats = QueueStats(BatchAcknowledger())
            subscriber = subscribers.batched(broker, queue, job)
            return Consumer(job.name, broker, subscriber, stats, processor.in_batches(job, job.batching, stats))
        stats = QueueStats(Acknowledger())
        subscriber = subscribers.one_by_one(broker, queue, job, self._ledger, processor, stats)
        return Consumer(job.name, broker, subscriber, stats)

    def _dead_letter_consumer(self, broker: RabbitBroker, processor: MessageProcessor) -> Consumer:
        stats = QueueStats(Acknowledger())
        subscriber = subscribers.dead_letters(broker, self._jobs, self._ledger, processor, stats)
        return Consumer(subscribers.DEAD_LETTERS, broker, subscriber, stats)
