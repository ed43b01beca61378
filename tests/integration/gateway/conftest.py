"""A gateway in this process, with a real Redis and three services that are real servers."""

from collections.abc import AsyncIterator

import pytest

from tests.support.backends import RedisBackend
from tests.support.gateway.world import Start, World, starter


@pytest.fixture
def start(redis: RedisBackend) -> Start:
    return starter(redis)


@pytest.fixture
async def world(start: Start) -> AsyncIterator[World]:
    async with start() as started:
        yield started
