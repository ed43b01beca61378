"""Workers in this process, on databases and virtual hosts of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from services.worker.settings import Settings
from shared.migrations import migrate
from tests.backends import Backends, RabbitBackend
from tests.backends.smtp import SmtpServer
from tests.backends.vhosts import Vhosts
from tests.integration.gateway.served import listening
from tests.integration.orders.api import running
from tests.integration.orders.api import settings_of as orders_settings
from tests.integration.worker.imports import Orders, Owner
from tests.integration.worker.world import SECRET, World, settings_for, working


@pytest.fixture(scope="session")
def new_database(backends: Backends) -> Iterator[Callable[[], str]]:
    """Makes migrated, empty databases."""
    template = f"worker_{uuid4().hex[:12]}"
    migrate("worker", backends.postgres.create_database(template))
    made = [template]

    def make() -> str:
        made.append(f"worker_{uuid4().hex[:12]}")
        return backends.postgres.create_database(made[-1], template=template)

    yield make
    for name in made:
        backends.postgres.drop_database(name)


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


@pytest.fixture(scope="session")
def post_office() -> Iterator[SmtpServer]:
    """The mail server of the worker that tests share; it only ever accepts."""
    server = SmtpServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def world(new_database: Callable[[], str], vhosts: Vhosts, post_office: SmtpServer) -> AsyncIterator[World]:
    """The worker that most tests share: each with users of its own."""
    settings = settings_for(new_database(), await asyncio.to_thread(vhosts.take), smtp_url=post_office.url)
    async with working(settings) as world:
        await world.until_ready()
        yield world


@pytest.fixture
def settings(new_database: Callable[[], str], vhost_url: str, smtp: SmtpServer) -> Settings:
    """For a worker that a test has for itself, and may treat badly."""
    return settings_for(new_database(), vhost_url, smtp_url=smtp.url)


@pytest.fixture
async def alone(settings: Settings) -> AsyncIterator[World]:
    async with working(settings) as world:
        await world.until_ready()
        yield world


@pytest.fixture(scope="session")
async def orders(backends: Backends) -> AsyncIterator[Orders]:
    """An orders service that listens, with a database of its own."""
    name = f"orders_{uuid4().hex[:12]}"
    database_url = backends.postgres.create_database(name)
    await asyncio.to_thread(migrate, "orders", database_url)
    settings = orders_settings(database_url, internal_token_secret=SECRET)
    async with running(settings) as app, listening(app) as port:
        yield Orders(database_url, f"http://127.0.0.1:{port}")
    backends.postgres.drop_database(name)


@pytest.fixture
def importing(settings: Settings, orders: Orders, tmp_path: Path) -> Settings:
    """For a worker that imports, and that a test has for itself."""
    more = {"orders_url": orders.url, "storage_url": (tmp_path / "uploads").as_uri()}
    return settings.model_copy(update=more)


@pytest.fixture(scope="session")
async def importer(
    new_database: Callable[[], str],
    vhosts: Vhosts,
    orders: Orders,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    """The worker by which most tests import: each as an owner of its own."""
    more = {"orders_url": orders.url, "storage_url": (tmp_path_factory.mktemp("storage") / "uploads").as_uri()}
    async with working(settings_for(new_database(), await asyncio.to_thread(vhosts.take), **more)) as world:
        await world.until_ready()
        yield world


@pytest.fixture
def owner(importer: World) -> Owner:
    return Owner(importer.http)
