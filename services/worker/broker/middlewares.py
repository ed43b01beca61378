"""The middlewares of the subscribers. The outermost is `DeliveryMiddleware`; the innermost call is the ledger's."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from aio_pika.message import IncomingMessage
from faststream import BaseMiddleware
from faststream.message import StreamMessage
from faststream.rabbit.response import RabbitPublishCommand

from services.worker.broker.acknowledgements import InboundMessage
from services.worker.broker.message_processor import MessageProcessor
from services.worker.broker.queue_stats import QueueStats
from services.worker.ledger.attempt import observed
from services.worker.ledger.job import JobMessage

CallNext = Callable[[StreamMessage[IncomingMessage]], Awaitable[Any]]
Middleware = BaseMiddleware[RabbitPublishCommand, IncomingMessage]


class DeliveryMiddleware(Middleware):
    """Processes a message in a task of its own, again if the ledger could not be written; then settles it."""

    def __init__(
        self, msg: IncomingMessage, /, *, context: Any, name: str, processor: MessageProcessor, stats: QueueStats
    ) -> None:
        super().__init__(msg, context=context)
        self._name = name
        self._processor = processor
        self._stats = stats

    async def consume_scope(self, call_next: CallNext, msg: StreamMessage[IncomingMessage]) -> None:
        inbound = InboundMessage(self.msg, self.msg.channel, await _job_message(msg))
        self._stats.arrived(inbound)
        settled = self._processor.settle(self._name, [inbound], self._stats, lambda: call_next(msg))
        await self._processor.uninterrupted(settled)


class AttemptMiddleware(Middleware):
    """Logs, traces and counts the attempt at a job."""

    def __init__(self, msg: IncomingMessage, /, *, context: Any, job: str) -> None:
        super().__init__(msg, context=context)
        self._job = job

    async def consume_scope(self, call_next: CallNext, msg: StreamMessage[IncomingMessage]) -> Any:
        return await observed(self._job, await _job_message(msg), lambda: call_next(msg))


async def _job_message(msg: StreamMessage[IncomingMessage]) -> JobMessage:
    """FastStream decodes a message once."""
    return cast("JobMessage", await msg.decode())
