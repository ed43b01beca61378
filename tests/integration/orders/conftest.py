"""The orders service in this process, on a database of its own for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from fastapi import FastAPI

from shared.db import Database
from tests.support.backends.databases import NewDatabase
from tests.support.orders import Visitor, running, settings_of


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> Iterator[None]:
    """structlog's own default draws each traceback with all its variables, which takes seconds."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


@pytest.fixture
def database_url(new_database: NewDatabase) -> Iterator[str]:
    url = new_database("orders")
    yield url
    new_database.drop(url)


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[FastAPI]:
    """The service without a broker."""
    async with running(settings_of(database_url)) as app:
        yield app


@pytest.fixture
async def impatient_app(database_url: str) -> AsyncIterator[FastAPI]:
    """The same, hardly waiting for locks."""
    async with running(settings_of(database_url, lock_timeout_s=0.2)) as app:
        yield app


@pytest.fixture
def db(app: FastAPI) -> Database:
    database: Database = app.state.db
    return database


@pytest.fixture
def user(app: FastAPI) -> Visitor:
    return Visitor(app)


@pytest.fixture
def admin(app: FastAPI) -> Visitor:
    return Visitor(app, "admin")
