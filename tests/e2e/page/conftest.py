from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.support.stack import browser as browsers


@pytest.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    async with browsers.launched() as launched:
        yield launched
