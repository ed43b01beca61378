"""A database with an outbox and nothing else."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from services.local.servers.sql import execute
from shared import outbox, topology
from shared.db import Database
from shared.producer import ProducerSettings
from tests.backends import PostgresBackend, RabbitBackend


@pytest.fixture
def database_url(postgres: PostgresBackend) -> Iterator[str]:
    name = f"outbox_{uuid4().hex[:12]}"
    url = postgres.create_database(name)
    execute(url, *outbox.SCHEMA)
    yield url
    postgres.drop_database(name)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    settings = ProducerSettings(environment="development", database_url=database_url, rabbitmq_url="amqp://unused")
    async with Database.open(settings) as db:
        yield db


@pytest.fixture
async def channel(rabbitmq: RabbitBackend) -> AsyncIterator[AbstractChannel]:
    """Straight to the broker, with the topology declared."""
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel(on_return_raises=True)
        await topology.declare(channel)
        yield channel
