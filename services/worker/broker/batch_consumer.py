"""A queue consumed by aio-pika itself, beside FastStream and over its connection.

For jobs that take many events in one transaction: there, what FastStream does for each message would cost more than the
job. aio-pika brings the consumer back after the connection was lost, or the queue, as it does FastStream's.
"""

from collections.abc import Awaitable, Callable

from aio_pika.abc import AbstractIncomingMessage, AbstractRobustQueue, ConsumerTag
from faststream.rabbit import RabbitBroker

Handler = Callable[[AbstractIncomingMessage], Awaitable[None]]
"""Must not raise, and must not keep the next message waiting: the work is somebody else's."""


class BatchConsumer:
    def __init__(self, broker: RabbitBroker, queue: str, prefetch: int, handler: Handler) -> None:
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._handler = handler
        self.consuming: tuple[AbstractRobustQueue, ConsumerTag] | None = None
        """The queue, and the tag under which it is consumed; None before the start and after the end."""

    async def start(self) -> None:
        """On a channel of its own, since the prefetch and multiple acknowledgements are a channel's. The queue must
        exist."""
        connection = await self._broker.connect()
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(self._prefetch)
        queue = await channel.declare_queue(self._queue, passive=True)
        self.consuming = queue, await queue.consume(self._handler)

    async def stop(self) -> None:
        """No message comes any more. The channel stays open: what is in hand is still to be acknowledged."""
        if self.consuming is None:
            return
        (queue, tag), self.consuming = self.consuming, None
        if not queue.channel.is_closed:
            await queue.cancel(tag)
