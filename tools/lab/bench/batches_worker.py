"""The worker, with a way to micro-batch.   python -m tools.lab.bench.batches_worker collect | handle | iterate"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from faststream.rabbit import RabbitMessage
from faststream.rabbit.subscriber import RabbitSubscriber

from services.worker import main
from services.worker.broker import consumers
from services.worker.broker.consumer import Consumer
from services.worker.broker.message_processor import Collect


class HandlingConsumer(Consumer):
    """FastStream's subscriber has a handler, which puts the message into the batch."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given[:4])
        if given[4:]:
            subscriber, _, collect = given[2:]

            async def handle(message: RabbitMessage) -> None:
                await collect(message.raw_message)

            subscriber(handle, decoder=as_it_is)


class IteratingConsumer(Consumer):
    """The messages of FastStream's subscriber are iterated over."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given[:4])
        self._iterated = (given[2], given[4]) if given[4:] else None
        self._iterating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await super().start()
        if self._iterated:
            self._iterating = asyncio.create_task(iterate(*self._iterated))

    async def stop(self) -> None:
        if self._iterating:
            self._iterating.cancel()
            with suppress(asyncio.CancelledError):
                await self._iterating
        await super().stop()


async def iterate(subscriber: RabbitSubscriber, collect: Collect) -> None:
    async for message in subscriber:
        await collect(message.raw_message)


async def as_it_is(message: RabbitMessage) -> Any:
    return message


# Each is built with what `Consumer` takes: job, broker, subscriber, stats and, for a job with batches, collect.
WAYS: Mapping[str, type[Consumer]] = {"collect": Consumer, "handle": HandlingConsumer, "iterate": IteratingConsumer}


if __name__ == "__main__":
    vars(consumers)["Consumer"] = WAYS[sys.argv[1]]
    main.run()
