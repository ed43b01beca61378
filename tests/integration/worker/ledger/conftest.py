"""Databases for ledgers without a broker."""

import asyncio

import pytest

from services.worker.settings import Settings
from tests.support.backends.databases import NewDatabase
from tests.support.worker.ledgers import Recorder
from tests.support.worker.world import settings_for

NO_BROKER = "amqp://127.0.0.1:1"


@pytest.fixture
async def database(new_database: NewDatabase) -> Settings:
    return settings_for(await asyncio.to_thread(new_database, "worker"), NO_BROKER)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
