"""The exchanges and queues."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import closing

import aio_pika
import pytest

from shared.contracts import topology
from tests.support.backends import RabbitBackend
from tests.support.backends.vhosts import Vhosts


@pytest.fixture(scope="module")
def vhosts(rabbitmq: RabbitBackend) -> Iterator[Vhosts]:
    with closing(Vhosts(rabbitmq)) as vhosts:
        yield vhosts


@pytest.fixture
def vhost_url(vhosts: Vhosts) -> Iterator[str]:
    """An empty virtual host."""
    url = vhosts.take()
    yield url
    vhosts.give_back(url)


async def test_it_is_declared_twice_without_harm(vhost_url: str) -> None:
    """Every process declares all of it at its start; every type of event and task then has a queue, also a task that
    the relay of 0.1 publishes as an event."""
    async with await aio_pika.connect(vhost_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        await topology.declare(channel)
        await topology.declare(channel)
        for key in {key for queue in topology.QUEUES.values() for key in queue.routing_keys}:
            for name in (topology.exchange_of(key), topology.EVENTS):
                exchange = await channel.get_exchange(name)
                await exchange.publish(aio_pika.Message(b"{}"), key, mandatory=True)


@pytest.mark.full
async def test_a_queue_with_other_arguments_ends_the_process_with_one_line(vhost_url: str, database_url: str) -> None:
    """Exit status 1, and the queue and the argument named: no retry would mend it."""
    async with await aio_pika.connect(vhost_url) as connection:
        channel = await connection.channel()
        arguments = topology.QUEUES["email"].arguments | {"x-queue-type": "classic"}
        await channel.declare_queue("worker.email", durable=True, arguments=arguments)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from services.orders.main import run; run()",
        env=os.environ
        | {
            "ENVIRONMENT": "development",
            "ORDERS_PORT": "0",
            "ORDERS_DATABASE_URL": database_url,
            "ORDERS_RABBITMQ_URL": vhost_url,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        _, errors = await process.communicate()
    assert process.returncode == 1
    [line] = errors.decode().splitlines()
    assert line.startswith("orders: the broker rejects the topology")
    assert "'worker.email'" in line
    assert "'x-queue-type'" in line
