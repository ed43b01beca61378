"""A RabbitMQ with a memory alarm, which accepts no messages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.backends import RabbitBackend


@asynccontextmanager
async def alarm(rabbitmq: RabbitBackend) -> AsyncIterator[None]:
    await asyncio.to_thread(rabbitmq.rabbitmqctl, "set_vm_memory_high_watermark", "absolute", "1")
    try:
        yield
    finally:
        await asyncio.to_thread(rabbitmq.rabbitmqctl, "set_vm_memory_high_watermark", "0.8")
