"""Acknowledges messages to RabbitMQ with few frames."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError
from aiormq.abc import AbstractChannel

from services.worker.ledger.job import JobMessage
from shared.observability.logs import get_logger

log = get_logger(__name__)

TIMEOUT_S = 5.0
CHANNEL_GONE = (AMQPError, RuntimeError, ConnectionError, TimeoutError)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """`channel` is the one on which it arrived: a message no longer refers to it once it is closed."""

    message: AbstractIncomingMessage
    channel: AbstractChannel
    job_message: JobMessage


class Watermark(Generic[T]):
    """The messages of one channel that one frame may acknowledge: all up to the last tag below which none is open.

    A tag is settled by its message's outcome: the message itself if it is to be acknowledged, None if it has already
    been returned to the queue.
    """

    def __init__(self) -> None:
        self._up_to = 0
        self._ahead: dict[int, T | None] = {}

    def settle(self, tag: int, message: T | None) -> None:
        self._ahead[tag] = message

    def advance(self) -> T | None:
        """Return the message to acknowledge together with all before it, if there is a new one."""
        last = None
        while self._up_to + 1 in self._ahead:
            self._up_to += 1
            last = self._ahead.pop(self._up_to) or last
        return last


class Acknowledger:
    """Settles each message individually. If its channel has closed, the broker delivers it again."""

    async def acknowledge(self, received: Sequence[InboundMessage]) -> None:
        """Acknowledge each message."""
        for inbound in received:
            await _tell(inbound.message.ack())

    async def give_back(self, received: Sequence[InboundMessage]) -> None:
        """Return each message to the queue. Uses reject: from RabbitMQ 4.3 on, a nack does not count towards the
        limit."""
        for inbound in received:
            await _tell(inbound.message.reject(requeue=True))


class BatchAcknowledger(Acknowledger):
    """Settles many messages with one frame; for a queue whose messages are completed roughly in order."""

    def __init__(self) -> None:
        self._marks: WeakKeyDictionary[AbstractChannel, Watermark[AbstractIncomingMessage]] = WeakKeyDictionary()

    async def acknowledge(self, received: Sequence[InboundMessage]) -> None:
        await self._advance({self._settle(inbound, inbound.message) for inbound in received})

    async def give_back(self, received: Sequence[InboundMessage]) -> None:
        await super().give_back(received)
        await self._advance({self._settle(inbound, None) for inbound in received})

    def _settle(
        self, inbound: InboundMessage, outcome: AbstractIncomingMessage | None
    ) -> Watermark[AbstractIncomingMessage]:
        mark = self._marks.setdefault(inbound.channel, Watermark())
        mark.settle(inbound.message.delivery_tag or 0, outcome)
        return mark

    async def _advance(self, marks: set[Watermark[AbstractIncomingMessage]]) -> None:
        for mark in marks:
            if (last := mark.advance()) is not None:
                await _tell(last.ack(multiple=True))


async def _tell(frame: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await frame
    except CHANNEL_GONE as gone:
        log.debug("message not settled; it will be redelivered", error=repr(gone))
