"""Whether every process is ready and every queue has its consumers, read directly and not through the links."""

import asyncio
from collections.abc import Sequence

import aio_pika
import httpx
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity

from shared.contracts.topology import QUEUES
from tests.support.stack.running import NO_TLS


async def unready(urls: Sequence[str], accepted: Sequence[str] = ("ready",)) -> list[str]:
    """Return the processes whose status is not among these, with the reasons."""
    async with httpx.AsyncClient(timeout=3, verify=NO_TLS) as http:
        found = await asyncio.gather(*(_unready(http, url, accepted) for url in urls))
    return [text for text in found if text]


async def without_consumers(
    rabbitmq_url: str, workers: int, more: Sequence[str] = (), *, of_one_version: bool = True
) -> list[str]:
    """Return the queues of the jobs, and of `more`, that do not have one consumer of each worker. While workers of two
    versions run, a queue may be missing, or have one consumer alone."""
    names = [*(queue.name for queue in QUEUES.values()), *more]
    enough = (workers,) if of_one_version else (None, 1, workers)
    try:
        async with asyncio.timeout(5), await aio_pika.connect(rabbitmq_url) as connection:
            counts = await _consumers(connection, names)
    except (AMQPError, OSError, TimeoutError) as error:
        return [f"rabbitmq: {error!r}"]
    return [f"{name}: {count} consumers" for name, count in counts.items() if count not in enough]


async def _unready(http: httpx.AsyncClient, url: str, accepted: Sequence[str]) -> str | None:
    try:
        answer = await http.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        return f"{url}: {error!r}"
    return None if answer.json().get("status") in accepted else f"{url}: {answer.text}"


async def _consumers(connection: AbstractConnection, names: Sequence[str]) -> dict[str, int | None]:
    """Return the number of each queue, or None if there is no such queue."""
    counts: dict[str, int | None] = dict.fromkeys(names)
    channel = await connection.channel(publisher_confirms=False)
    for name in names:
        try:
            queue = await channel.declare_queue(name, passive=True)
        except ChannelNotFoundEntity:  # which closes the channel
            channel = await connection.channel(publisher_confirms=False)
        else:
            counts[name] = queue.declaration_result.consumer_count or 0
    return counts
