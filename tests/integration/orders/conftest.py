"""The orders service in this process. Most tests share it, each with users of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI

from shared.db.engine import Database
from tests.support.backends.databases import NewDatabase
from tests.support.orders import Visitor, running, settings_of
from tests.support.patience import patient, patiently


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    with patient():
        yield


@pytest.fixture(scope="package")
def database_url(new_database: NewDatabase) -> str:
    return new_database("orders")


@pytest.fixture(scope="package")
async def app(database_url: str) -> AsyncIterator[FastAPI]:
    """The service without a broker."""
    async with patiently(running(settings_of(database_url))) as app:
        yield app


@pytest.fixture(scope="package")
async def impatient_app(database_url: str) -> AsyncIterator[FastAPI]:
    """The service with a very short lock timeout."""
    async with patiently(running(settings_of(database_url, lock_timeout_s=0.2))) as app:
        yield app


@pytest.fixture
async def alone(new_database: NewDatabase) -> AsyncIterator[FastAPI]:
    """A service with an empty database that no other test uses."""
    url = new_database("orders")
    async with running(settings_of(url)) as app:
        yield app
    new_database.drop(url)


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
