"""The users service in this process, on databases of its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from services.users.main import create_app
from services.users.settings import Settings
from shared.db import Database
from shared.migrations import migrate
from shared.tokens import ServiceTokens
from tests.backends import Backends
from tests.integration.users.gateway import Gateway

NO_BROKER = "amqp://guest:guest@127.0.0.1:1/"
"""Nobody listens there: events stay in the outbox, where a test can see them."""
SECRET = SecretStr("a secret that only these tests know")

Serve = Callable[[Settings], AbstractAsyncContextManager[tuple[FastAPI, Gateway]]]


@pytest.fixture(scope="session")
def new_database(backends: Backends) -> Iterator[Callable[[], str]]:
    """Makes migrated, empty databases."""
    template = f"users_{uuid4().hex[:12]}"
    migrate("users", backends.postgres.create_database(template))
    made = [template]

    def make() -> str:
        made.append(f"users_{uuid4().hex[:12]}")
        return backends.postgres.create_database(made[-1], template=template)

    yield make
    for name in made:
        backends.postgres.drop_database(name)


def settings_for(database_url: str, rabbitmq_url: str = NO_BROKER) -> Settings:
    """Hashing costs next to nothing here."""
    return Settings(
        environment="development",
        internal_token_secret=SECRET,
        database_url=database_url,
        rabbitmq_url=rabbitmq_url,
        argon2_time_cost=1,
        argon2_memory_kib=8,
        argon2_parallelism=1,
    )


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[FastAPI, Gateway]]:
    app = create_app(settings)
    tokens = ServiceTokens(SECRET.get_secret_value(), "gateway")

    def sign(request: httpx.Request) -> httpx.Request:
        request.headers.setdefault("Authorization", f"Bearer {tokens.token()}")
        return request

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://users", auth=sign) as http,
    ):
        yield app, Gateway(http)


@pytest.fixture(scope="session")
async def service(new_database: Callable[[], str]) -> AsyncIterator[tuple[FastAPI, Gateway]]:
    async with serving(settings_for(new_database())) as running:
        yield running


@pytest.fixture
def gateway(service: tuple[FastAPI, Gateway]) -> Gateway:
    """The service that most tests share: each with people of its own."""
    return service[1]


@pytest.fixture
def db(service: tuple[FastAPI, Gateway]) -> Database:
    database: Database = service[0].state.db
    return database


@pytest.fixture
async def alone(new_database: Callable[[], str]) -> AsyncIterator[tuple[FastAPI, Gateway]]:
    """A service on an empty database that nobody else uses."""
    async with serving(settings_for(new_database())) as running:
        yield running
