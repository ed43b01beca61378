"""The users service in this process, with databases of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI

from shared.db.engine import Database
from tests.support.backends.databases import NewDatabase
from tests.support.patience import patient, patiently
from tests.support.users import Gateway, serving, settings_for


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    with patient():
        yield


@pytest.fixture(scope="package")
async def service(new_database: NewDatabase) -> AsyncIterator[tuple[FastAPI, Gateway]]:
    async with patiently(serving(settings_for(new_database("users")))) as running:
        yield running


@pytest.fixture
def gateway(service: tuple[FastAPI, Gateway]) -> Gateway:
    """The service that most tests share, each with users of its own."""
    return service[1]


@pytest.fixture
def db(service: tuple[FastAPI, Gateway]) -> Database:
    database: Database = service[0].state.db
    return database


@pytest.fixture
async def alone(new_database: NewDatabase) -> AsyncIterator[tuple[FastAPI, Gateway]]:
    """A service with an empty database that no other test uses."""
    async with serving(settings_for(new_database("users"))) as running:
        yield running
