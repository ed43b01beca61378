"""The consumer of one queue: starts, stops, and checks whether the queue is consumed."""

import time
from typing import Any

from aio_pika.abc import AbstractRobustQueue
from aio_pika.exceptions import AMQPError
from aiormq.abc import AbstractChannel
from faststream.rabbit import RabbitBroker
from faststream.rabbit.subscriber import RabbitSubscriber

from services.worker import metrics
from services.worker.broker.message_processor import Collect
from services.worker.broker.queue_stats import QueueStats
from services.worker.broker.stall_detection import Sample, StallDetector


class Consumer:
    """Consumes the queue of a subscriber, on the subscriber's own channel: prefetch and multiple acknowledgements are
    per channel.

    Messages go to the subscriber's handler. With `collect` they go there instead, without FastStream's processing of
    each message, which costs more than a job with batches does (docs/decisions/0007). aio-pika restores either after
    the loss of the connection or the queue.
    """

    def __init__(
        self,
        job: str,
        broker: RabbitBroker,
        subscriber: RabbitSubscriber,
        stats: QueueStats,
        collect: Collect | None = None,
    ) -> None:
        self.job = job
        self.queue = subscriber.queue.name
        self._broker = broker
        self._subscriber = subscriber
        self._stats = stats
        self._collect = collect
        self._declared: AbstractRobustQueue | None = None
        prefetch = subscriber.channel.prefetch_count if subscriber.channel else None
        self.stall_detector = StallDetector(prefetch or 0)
        self.is_running = False
        """Whether it should be consuming: from the start until it is stopped."""
        self.is_consuming = False
        """Whether it consumed when that was last checked."""
        metrics.IN_HAND.labels(self.queue).set_function(lambda: stats.in_hand)
        metrics.IN_HAND_LIMIT.labels(self.queue).set(prefetch or 0)

    async def start(self) -> None:
        """Start to consume. The queue must exist."""
        await self._subscriber.start()
        self._declared = await self._broker.declare_queue(self._subscriber.queue)
        if self._collect:
            await self._declared.consume(self._collect)
        self.is_running = self.is_consuming = True

    async def stop(self) -> None:
        """Stop the delivery of messages. The channel stays open to acknowledge in-flight messages.

        The delivery is cancelled at RabbitMQ first: a stopped subscriber drops messages that still arrive.
        """
        self.is_running = self.is_consuming = False
        if self._declared is not None and not self._declared.channel.is_closed:
            channel: Any = await self._declared.channel.get_underlay_channel()
            for tag in tuple(channel.consumers):
                await self._declared.cancel(tag)
        await self._subscriber.stop()

    async def check(self) -> bool:
        """Checks whether it consumes, and remembers the result."""
        consumed = await self._consumed()
        self.is_consuming = consumed is not None
        metrics.LAST_DELIVERY.labels(self.queue).set(time.monotonic() - self._stats.last_delivery)
        if consumed is None:
            return False
        channel, ready = consumed
        self.stall_detector.observe(
            Sample(time.monotonic(), ready, self._stats.delivered, self._stats.unsettled(channel))
        )
        return True

    async def _consumed(self) -> tuple[AbstractChannel, int] | None:
        """Return the channel on which it consumes and the number of ready messages in its queue; None if it does not
        consume.

        Both sides must agree: our channel, and the broker's list of consumers of this queue.
        """
        if self._declared is None:
            return None
        try:
            channel: Any = await self._declared.channel.get_underlay_channel()
            if not channel.consumers:
                return None
            probe = await channel.connection.channel(publisher_confirms=False)
            declared = await probe.queue_declare(queue=self.queue, passive=True)
            await probe.close()
        except (AMQPError, RuntimeError):  # querying a missing queue closes the channel
            return None
        return (channel, declared.message_count or 0) if declared.consumer_count else None
