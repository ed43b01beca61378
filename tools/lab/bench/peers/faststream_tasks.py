"""FastStream, one event at a time.   python -m tools.lab.bench.peers.faststream_tasks publish COUNT | consume | plain

Tuned: no dependency injection of types, the raw body decoded with msgspec, prefetch 100 with the same
concurrency, one statement per event (`consume`). `plain` is the simplest code: a transaction with one statement per
table.
"""

import asyncio
import sys
from typing import Any

import asyncpg
import msgspec
from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitMessage, RabbitQueue

from tools.lab.bench.peers import effect

QUEUE = RabbitQueue("peer.faststream", queue_type=QueueType.QUORUM)
LEDGER = effect.LEDGER.format(event_id="$1", user_id="$2")
SUMS = (
    effect.SUMS[0].format(user_id="$1::uuid", items="$2::bigint", at="$3::timestamptz", when=""),
    effect.SUMS[1].format(user_id="$1::uuid", when=""),
    effect.SUMS[2].format(user_id="$1::uuid", total="$2::bigint", when=""),
    effect.SUMS[3].format(user_id="$1::uuid", at="$2::timestamptz", total="$3::bigint", when=""),
)


async def fold(pool: asyncpg.Pool, given: dict[str, Any]) -> None:
    async with pool.acquire() as connection:
        await connection.execute(effect.ASYNCPG, *effect.arguments(given))


async def fold_plainly(pool: asyncpg.Pool, given: dict[str, Any]) -> None:
    event_id, user_id, items, total, at = effect.arguments(given)
    async with pool.acquire() as connection, connection.transaction():
        if await connection.fetchval(LEDGER, event_id, user_id):
            await connection.execute(SUMS[0], user_id, items, at)
            await connection.execute(SUMS[1], user_id)
            await connection.execute(SUMS[2], user_id, total)
            await connection.execute(SUMS[3], user_id, at, total)


async def raw(message: RabbitMessage) -> Any:
    return msgspec.json.decode(message.body)


async def consume() -> None:
    work = fold_plainly if sys.argv[1] == "plain" else fold
    broker = RabbitBroker(
        effect.RABBITMQ_URL, apply_types=False, logger=None, default_channel=Channel(prefetch_count=effect.PREFETCH)
    )
    async with asyncpg.create_pool(effect.DATABASE_URL, min_size=10, max_size=10) as pool:

        @broker.subscriber(QUEUE, decoder=raw, ack_policy=AckPolicy.NACK_ON_ERROR)
        async def handle(given: dict[str, Any]) -> None:
            await work(pool, given)

        await FastStream(broker, logger=None).run()


async def publish(count: int) -> None:
    async with RabbitBroker(effect.RABBITMQ_URL, logger=None) as broker:
        await broker.declare_queue(QUEUE)
        for begin in range(0, count, effect.PREFETCH):
            some = effect.events(min(effect.PREFETCH, count - begin))
            await asyncio.gather(*(broker.publish(each, QUEUE, persist=True) for each in some))


if __name__ == "__main__":
    import uvloop

    uvloop.run(publish(effect.asked_to_publish()) if sys.argv[1] == "publish" else consume())
