"""Each service in this process, with a database of its own and without a broker."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing

import pytest
from fastapi import FastAPI

from tests.support.backends import RabbitBackend
from tests.support.backends.databases import NewDatabase
from tests.support.backends.vhosts import Vhosts
from tests.support.patience import patient, patiently
from tests.support.services.description import Service, Somebody


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    with patient():
        yield


class Apps:
    """Starts each service when a test first asks for it."""

    def __init__(self, new_database: NewDatabase, stack: AsyncExitStack) -> None:
        self._new_database = new_database
        self._stack = stack
        self._apps: dict[str, FastAPI] = {}

    async def of(self, service: Service) -> FastAPI:
        if service.name not in self._apps:
            url = await asyncio.to_thread(self._new_database, service.name)
            self._apps[service.name] = await self._stack.enter_async_context(patiently(service.running(url)))
        return self._apps[service.name]


@pytest.fixture(scope="package")
async def apps(new_database: NewDatabase) -> AsyncIterator[Apps]:
    async with AsyncExitStack() as stack:
        yield Apps(new_database, stack)


@pytest.fixture
async def app(service: Service, apps: Apps) -> FastAPI:
    """The service that the tests share; each test has users of its own."""
    return await apps.of(service)


@pytest.fixture
async def somebody(service: Service, app: FastAPI) -> Somebody:
    return await service.settle(app)


@pytest.fixture
async def vhost_url(rabbitmq: RabbitBackend) -> AsyncIterator[str]:
    """An empty virtual host for one test, so that no other process consumes its messages."""
    with closing(Vhosts(rabbitmq)) as vhosts:
        yield await asyncio.to_thread(vhosts.take)


@pytest.fixture
def database_url(service: Service, new_database: NewDatabase) -> Iterator[str]:
    """A database with the service's tables, for one test."""
    url = new_database(service.name)
    yield url
    new_database.drop(url)
