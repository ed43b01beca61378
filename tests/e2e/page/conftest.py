import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.support.backends import RedisBackend
from tests.support.gateway.world import Start, starter
from tests.support.stack import browser as browsers
from tests.support.stack.operators import Operator
from tests.support.stack.running import Stack


@pytest.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    async with browsers.launched() as launched:
        yield launched


@pytest.fixture
async def admin(stack: Stack) -> Operator:
    return await asyncio.to_thread(Operator, stack, "admin")


@pytest.fixture
def start(redis: RedisBackend) -> Start:
    """Starts a gateway in this process, for pages that need another panels file than the stack's."""
    return starter(redis)
