"""What is in a worker's queues."""

import aio_pika

from services.worker.settings import Settings
from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S, World

QUEUES = ("worker.email", "worker.analytics", "worker.notifications", "worker.recipients")


async def drained(world: World, *names: str) -> None:
    """Waits until no queue, or none of these, has a message ready."""

    async def empty() -> bool:
        async with await aio_pika.connect(world.settings.rabbitmq_url) as connection:
            channel = await connection.channel()
            queues = [await channel.get_queue(name) for name in names or QUEUES]
            return all(queue.declaration_result.message_count == 0 for queue in queues)

    await eventually(empty, LONG_S)


async def ready_messages(settings: Settings, queue: str) -> int:
    async with await aio_pika.connect(settings.rabbitmq_url) as connection:
        declared = await (await connection.channel()).declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0


async def consumers_of(settings: Settings, queue: str) -> int:
    async with await aio_pika.connect(settings.rabbitmq_url) as connection:
        declared = await (await connection.channel()).declare_queue(queue, passive=True)
        return declared.declaration_result.consumer_count or 0
