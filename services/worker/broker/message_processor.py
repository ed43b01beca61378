"""Messages in flight: each from its arrival until it is acknowledged or returned.

The work runs in separate tasks: aiormq cancels a consumer's callbacks when their channel closes, and a mail that is
being sent must not be interrupted because the connection to RabbitMQ is lost. A message that cannot be acknowledged is
redelivered, and the ledger recognises it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from aio_pika.abc import AbstractIncomingMessage

from services.worker import metrics
from services.worker.broker.acknowledgements import InboundMessage
from services.worker.broker.batch_collector import BatchCollector
from services.worker.broker.queue_stats import QueueStats
from services.worker.ledger.backpressure import Backpressure, always
from services.worker.ledger.job import CANCEL_S, Batching, Job, JobMessage
from services.worker.ledger.ledger import Ledger
from shared.db.engine import is_outage
from shared.observability.logs import get_logger
from shared.server.background import to_the_end

log = get_logger(__name__)


Collect = Callable[[AbstractIncomingMessage], Awaitable[None]]
"""Puts a message into a batch. Never raises, and never delays the next message: the work is done elsewhere."""

T = TypeVar("T")


class ProcessorFailed(Exception):
    """The in-flight messages will be neither acknowledged nor returned: only a new connection redelivers them."""


class MessageProcessor:
    """Leaving the block finishes in-flight messages; work that takes longer than the grace period is rolled back and
    redelivered."""

    def __init__(self, ledger: Ledger, backpressure: Backpressure, grace_s: float) -> None:
        self._ledger = ledger
        self._backpressure = backpressure
        self._grace_s = grace_s
        self._working: set[asyncio.Task[None]] = set()
        self._collecting: dict[asyncio.Task[None], BatchCollector[InboundMessage]] = {}
        self._failure: BaseException | None = None

    def check(self) -> None:
        """Raises `ProcessorFailed` if work has ended with an unhandled error."""
        if self._failure:
            raise ProcessorFailed(repr(self._failure)) from self._failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._backpressure.stop()
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

    async def uninterrupted(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for the work, which goes on if the caller is cancelled."""
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("messages left in flight", error=repr(error), exc_info=error)
            self._failure = self._failure or error

    async def settle(
        self,
        name: str,
        received: Sequence[InboundMessage],
        stats: QueueStats,
        work: Callable[[], Awaitable[object]],
        holds: Callable[[Exception], bool] = always,
    ) -> None:
        """Acknowledge messages after `work` has succeeded, or return them if it will not. Raises errors that are not
        `holds`."""
        if await self._backpressure.run_when_writable(name, work, holds):
            await stats.acknowledge(received)
        else:
            metrics.REQUEUED.labels(name).inc(len(received))
            await stats.give_back(received)

    def in_batches(self, job: Job, batching: Batching, stats: QueueStats) -> Collect:
        """Return the function that takes the messages of a job with batches."""

        async def work(batch: list[InboundMessage]) -> None:
            readable = [inbound for inbound in batch if inbound.job_message.is_readable]
            await self._together(job, batching, readable, stats)
            for inbound in batch:
                if not inbound.job_message.is_readable:
                    await self._alone(job, inbound, stats)

        collector = BatchCollector(batching.size, batching.wait_s, work)
        collecting = asyncio.create_task(collector.run())
        collecting.add_done_callback(self._ended)
        self._collecting[collecting] = collector

        async def collect(message: AbstractIncomingMessage) -> None:
            inbound = InboundMessage(
                message, message.channel, JobMessage.read(message.headers, message.body, message.message_id)
            )
            stats.arrived(inbound)
            collector.put(inbound)

        return collect

    async def _together(self, job: Job, batching: Batching, batch: Sequence[InboundMessage], stats: QueueStats) -> None:
        """Process a batch in one transaction. A batch that fails is halved until the bad event is alone and fails by
        itself."""
        if not batch:
            return
        job_messages = [inbound.job_message for inbound in batch]
        try:
            await self.settle(
                job.name, batch, stats, lambda: self._ledger.run_many(job, batching.effect, job_messages), is_outage
            )
        except Exception as error:
            log.warning("batch failed", job=job.name, size=len(batch), error=repr(error))
            if len(batch) == 1:
                await self._alone(job, batch[0], stats)
                return
            for half in halves(batch):
                await self._together(job, batching, half, stats)

    async def _alone(self, job: Job, inbound: InboundMessage, stats: QueueStats) -> None:
        await self.settle(job.name, [inbound], stats, lambda: self._ledger.run_observed(job, inbound.job_message))


def halves(batch: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]
