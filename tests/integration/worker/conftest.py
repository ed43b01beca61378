"""Workers in this process, on databases and virtual hosts of their own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.worker.settings import Settings
from tests.support.backends import RabbitBackend
from tests.support.backends.databases import NewDatabase
from tests.support.backends.smtp import SmtpServer
from tests.support.backends.vhosts import Vhosts
from tests.support.orders import running
from tests.support.orders import settings_of as orders_settings
from tests.support.served import listening
from tests.support.worker.imports import Gate, Gated, Orders, Owner
from tests.support.worker.patience import be_patient
from tests.support.worker.world import SECRET, World, settings_for, working


@pytest.fixture(scope="package", autouse=True)
def _patience() -> Iterator[None]:
    """For the tests of this folder alone."""
    with pytest.MonkeyPatch.context() as patch:
        be_patient(patch)
        yield


@pytest.fixture(scope="session")
def vhosts(rabbitmq: RabbitBackend) -> Iterator[Vhosts]:
    """So that no other worker takes a test's messages."""
    with closing(Vhosts(rabbitmq)) as vhosts:
        yield vhosts


@pytest.fixture
async def vhost_url(vhosts: Vhosts) -> AsyncIterator[str]:
    """An empty virtual host, for one test."""
    url = await asyncio.to_thread(vhosts.take)
    yield url
    vhosts.give_back(url)


@pytest.fixture(scope="package")
def post_office() -> Iterator[SmtpServer]:
    """The mail server of the worker that tests share; it only ever accepts."""
    server = SmtpServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="package")
async def world(new_database: NewDatabase, vhosts: Vhosts, post_office: SmtpServer) -> AsyncIterator[World]:
    """The worker that most tests share: each with users of its own."""
    settings = settings_for(new_database("worker"), await asyncio.to_thread(vhosts.take), smtp_url=post_office.url)
    async with working(settings) as world:
        await world.until_ready()
        yield world


@pytest.fixture
def settings(new_database: NewDatabase, vhost_url: str, smtp: SmtpServer) -> Settings:
    """For a worker that a test has for itself, and may treat badly."""
    return settings_for(new_database("worker"), vhost_url, smtp_url=smtp.url)


@pytest.fixture
async def alone(settings: Settings) -> AsyncIterator[World]:
    async with working(settings) as world:
        await world.until_ready()
        yield world


@pytest.fixture(scope="package")
async def orders(new_database: NewDatabase) -> AsyncIterator[Orders]:
    """An orders service that listens, with a database of its own."""
    database_url = new_database("orders")
    settings = orders_settings(database_url, internal_token_secret=SECRET)
    gate = Gate()
    async with running(settings) as app, listening(Gated(app, gate)) as port:
        yield Orders(database_url, f"http://127.0.0.1:{port}", gate)


@pytest.fixture
def gate(orders: Orders) -> Iterator[Gate]:
    """Before the orders service; open again after the test."""
    yield orders.gate
    orders.gate.open()


@pytest.fixture
def importing(settings: Settings, orders: Orders, tmp_path: Path) -> Settings:
    """For a worker that imports, and that a test has for itself."""
    more = {"orders_url": orders.url, "storage_url": (tmp_path / "uploads").as_uri()}
    return settings.model_copy(update=more)


@pytest.fixture(scope="package")
async def importer(
    new_database: NewDatabase,
    vhosts: Vhosts,
    orders: Orders,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    """The worker by which most tests import: each as an owner of its own."""
    more = {"orders_url": orders.url, "storage_url": (tmp_path_factory.mktemp("storage") / "uploads").as_uri()}
    async with working(settings_for(new_database("worker"), await asyncio.to_thread(vhosts.take), **more)) as world:
        await world.until_ready()
        yield world


@pytest.fixture
def owner(importer: World) -> Owner:
    return Owner(importer.http)
