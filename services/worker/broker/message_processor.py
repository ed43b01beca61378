"""What is in hand: each message from its arrival to the moment when it is acknowledged, or given back.

The work runs in tasks of its own: aiormq cancels a consumer's callbacks when their channel closes, and a mail that is
being sent must not be cut off because the connection to RabbitMQ is. A message that cannot be acknowledged comes again,
and the ledger knows it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from aio_pika.abc import AbstractIncomingMessage

from services.worker import metrics
from services.worker.broker.acknowledgements import InboundMessage
from services.worker.broker.batch_collector import BatchCollector
from services.worker.broker.batch_consumer import Handler
from services.worker.broker.queue_stats import QueueStats
from services.worker.ledger.backpressure import Backpressure, always
from services.worker.ledger.dead_letter import DeadLetter
from services.worker.ledger.job import CANCEL_S, Batching, Job
from services.worker.ledger.job_message import JobMessage
from services.worker.ledger.ledger import Ledger
from shared.db.engine import is_outage
from shared.observability.logs import get_logger
from shared.server.background import to_the_end

log = get_logger(__name__)


Take = Callable[[InboundMessage], None]
Work = Callable[[InboundMessage], Coroutine[Any, Any, None]]

T = TypeVar("T")


class ProcessorFailed(Exception):
    """What is in hand will not be acknowledged, nor given back: only a new connection brings it again."""


class MessageProcessor:
    """Leaving the block finishes what is in hand; what takes longer than the grace period is undone and comes again."""

    def __init__(self, ledger: Ledger, hold: Backpressure, grace_s: float) -> None:
        self._ledger = ledger
        self._hold = hold
        self._grace_s = grace_s
        self._working: set[asyncio.Task[None]] = set()
        self._collecting: dict[asyncio.Task[None], BatchCollector[InboundMessage]] = {}
        self._failure: BaseException | None = None

    def check(self) -> None:
        """Raises `ProcessorFailed` when work has ended by an error that it should have dealt with."""
        if self._failure:
            raise ProcessorFailed(repr(self._failure)) from self._failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hold.stop()
        await to_the_end(self._finish())

    async def _finish(self) -> None:
        drained = [
            asyncio.create_task(collector.drained()) for task, collector in self._collecting.items() if not task.done()
        ]
        if unfinished := [*self._working, *drained]:
            await asyncio.wait(unfinished, timeout=self._grace_s)
        tasks = [*unfinished, *self._collecting]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_S)

    def handler(self, job: Job, flow: QueueStats) -> Handler:
        """What to do with a message of this job's queue: take it in hand, and be ready for the next."""
        if job.batching:
            return _handler(flow, self._in_batches(job, job.batching, flow))

        async def run(arrival: InboundMessage) -> None:
            await self._one(job, arrival, flow)

        return _handler(flow, self._each(run))

    def burial(self, jobs: Mapping[str, Job], flow: QueueStats) -> Handler:
        """What to do with a message that RabbitMQ has given up: keep it as dead."""

        async def bury(arrival: InboundMessage) -> None:
            death = DeadLetter.read(arrival.delivery.headers, jobs)
            await self._held(death.job, [arrival], flow, lambda: self._ledger.bury(death, arrival.delivery))

        return _handler(flow, self._each(bury))

    def _each(self, work: Work) -> Take:
        """Each message in a task of its own."""

        def take(arrival: InboundMessage) -> None:
            task = asyncio.create_task(work(arrival))
            self._working.add(task)
            task.add_done_callback(self._ended)

        return take

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("messages in hand were left", error=repr(error), exc_info=error)
            self._failure = self._failure or error

    def _in_batches(self, job: Job, batching: Batching, flow: QueueStats) -> Take:
        async def work(batch: list[InboundMessage]) -> None:
            readable = [arrival for arrival in batch if arrival.delivery.is_readable]
            await self._together(job, batching, readable, flow)
            for arrival in batch:
                if not arrival.delivery.is_readable:
                    await self._one(job, arrival, flow)

        collector = BatchCollector(batching.size, batching.wait_s, work)
        collecting = asyncio.create_task(collector.run())
        collecting.add_done_callback(self._ended)
        self._collecting[collecting] = collector
        return collector.put

    async def _one(self, job: Job, arrival: InboundMessage, flow: QueueStats) -> None:
        await self._held(job.name, [arrival], flow, lambda: self._ledger.run(job, arrival.delivery))

    async def _together(self, job: Job, batching: Batching, batch: Sequence[InboundMessage], flow: QueueStats) -> None:
        """In one transaction. A batch that fails is halved until what is bad is alone, and fails by itself."""
        if not batch:
            return
        deliveries = [arrival.delivery for arrival in batch]
        try:
            await self._held(
                job.name, batch, flow, lambda: self._ledger.run_many(job, batching.effect, deliveries), is_outage
            )
        except Exception as error:
            log.warning("batch failed", job=job.name, size=len(batch), error=repr(error))
            if len(batch) == 1:
                await self._one(job, batch[0], flow)
                return
            for half in halves(batch):
                await self._together(job, batching, half, flow)

    async def _held(
        self,
        job: str,
        arrivals: Sequence[InboundMessage],
        flow: QueueStats,
        work: Callable[[], Awaitable[object]],
        holds: Callable[[Exception], bool] = always,
    ) -> None:
        """Acknowledged when `work` has succeeded, given back when it will not. Raises errors that are not `holds`."""
        if await self._hold.until_done(job, work, holds):
            await flow.acknowledge(arrivals)
        else:
            metrics.REQUEUED.labels(job).inc(len(arrivals))
            await flow.give_back(arrivals)


def halves(batch: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def _handler(flow: QueueStats, take: Take) -> Handler:
    async def handle(message: AbstractIncomingMessage) -> None:
        arrival = InboundMessage(
            message, message.channel, JobMessage.read(message.headers, message.body, message.message_id)
        )
        flow.arrived(arrival)
        take(arrival)

    return handle
