"""Taskiq.   python -m tools.lab.bench.peers.taskiq_tasks publish COUNT · taskiq worker …taskiq_tasks:broker

Tuned: one process, prefetch 100 with the same concurrency, acknowledged when executed, no result backend, uvloop, one
prepared statement per event.
"""

import asyncio
from typing import Any

import asyncpg
from taskiq import TaskiqEvents, TaskiqState
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue, QueueType

from tools.lab.bench.peers import effect

QUEUE = "peer.taskiq"
broker = AioPikaBroker(
    effect.RABBITMQ_URL,
    qos=effect.PREFETCH,
    exchange=Exchange(name="peer.taskiq"),
    task_queues=[Queue(name=QUEUE, type=QueueType.QUORUM)],
    dead_letter_queue=Queue(name=f"{QUEUE}.dead"),
)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_pool(state: TaskiqState) -> None:
    state.pool = await asyncpg.create_pool(effect.DATABASE_URL, min_size=10, max_size=10)


@broker.task(task_name="fold")
async def fold_event(given: dict[str, Any]) -> None:
    async with broker.state.pool.acquire() as connection:
        await connection.execute(effect.ASYNCPG, *effect.arguments(given))


async def publish(count: int) -> None:
    await broker.startup()
    for begin in range(0, count, effect.PREFETCH):
        some = effect.events(min(effect.PREFETCH, count - begin))
        await asyncio.gather(*(fold_event.kiq(each) for each in some))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(publish(effect.asked_to_publish()))
