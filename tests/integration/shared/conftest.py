"""A database with an outbox and nothing else."""

from collections.abc import AsyncIterator, Iterator

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from shared.contracts import topology
from shared.db.engine import Database
from shared.outbox import outbox
from shared.outbox.relay import ProducerSettings
from tests.support.backends import RabbitBackend
from tests.support.backends.databases import NewDatabase
from tests.support.patience import patient
from tools.devstack.system.databases import execute


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    with patient():
        yield


@pytest.fixture
def database_url(new_database: NewDatabase) -> Iterator[str]:
    url = new_database()
    execute(url, *outbox.MIGRATION)
    yield url
    new_database.drop(url)


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
