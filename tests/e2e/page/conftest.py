import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.support.backends import RedisBackend
from tests.support.gateway.world import Start, starter
from tests.support.stack import browser as browsers
from tests.support.stack.operators import Operator
from tests.support.stack.running import Stack

IN_FIREFOX = ("test_door.py", "test_orders.py")
"""The modules whose flows `make full` runs in Firefox, too."""


@pytest.fixture(
    scope="package",
    params=["chromium", pytest.param("firefox", marks=[pytest.mark.full, browsers.needs_firefox])],
)
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    """One of each kind for all tests. Those marked `firefox` run in both."""
    async with browsers.launched(request.param) as launched:
        yield launched


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run only the tests in Firefox that are marked for it, and those of most modules only with `-m long`."""
    in_firefox = [item for item in items if _browser_of(item) == "firefox"]
    left_out = [item for item in in_firefox if not item.get_closest_marker("firefox")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    for item in in_firefox:
        if item.path.name not in IN_FIREFOX:
            item.add_marker("long")


def _browser_of(item: pytest.Item) -> str | None:
    called = getattr(item, "callspec", None)
    found: str | None = called.params.get("browser") if called else None
    return found


@pytest.fixture
async def admin(stack: Stack) -> Operator:
    return await asyncio.to_thread(Operator, stack, "admin")


@pytest.fixture
def start(redis: RedisBackend) -> Start:
    """Starts a gateway in this process, for pages that need another panels file than the stack's."""
    return starter(redis)
