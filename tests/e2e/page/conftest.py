import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

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
