"""A queue that is consumed with aio-pika directly, next to FastStream and over its connection.

For jobs that process many events in one transaction: FastStream's per-message processing would cost more than the job.
aio-pika restores the consumer after the loss of the connection or the queue, as it does FastStream's.
"""

from collections.abc import Awaitable, Callable

from aio_pika.abc import AbstractIncomingMessage, AbstractRobustQueue, ConsumerTag
from faststream.rabbit import RabbitBroker

Handler = Callable[[AbstractIncomingMessage], Awaitable[None]]
"""Must not raise, and must not delay the next message: the work is done elsewhere."""


class BatchConsumer:
    def __init__(self, broker: RabbitBroker, queue: str, prefetch: int, handler: Handler) -> None:
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._handler = handler
        self.consuming: tuple[AbstractRobustQueue, ConsumerTag] | None = None
        """The queue, and its consumer tag; None before the start and after the end."""

    async def start(self) -> None:
        """Start to consume, on a separate channel, since prefetch and multiple acknowledgements are per channel. The
        queue must exist."""
        connection = await self._broker.connect()
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(self._prefetch)
        queue = await channel.declare_queue(self._queue, passive=True)
        self.consuming = queue, await queue.consume(self._handler)

    async def stop(self) -> None:
        """Stop the delivery of messages. The channel stays open to acknowledge in-flight messages."""
        if self.consuming is None:
            return
        (queue, tag), self.consuming = self.consuming, None
        if not queue.channel.is_closed:
            await queue.cancel(tag)
