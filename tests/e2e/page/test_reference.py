"""The API reference at `/docs`, and its console."""

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.support.stack.browser import Scheme, is_accessible, needs_browser, visiting
from tests.support.stack.running import Person, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, needs_browser]

CHANGE_PROFILE = "#operations-accounts-change_profile"
READ_PROFILE = "#operations-accounts-read_profile"


@pytest.mark.full
async def test_a_call_from_the_console(browser: Browser, stack: Stack, person: Person) -> None:
    """It lists the operations and calls one with an access token. It asks no other site for anything, and keeps the
    token in memory alone."""
    async with visiting(browser, stack) as visitor:
        token = person.http.headers["Authorization"].removeprefix("Bearer ")
        asked: list[str] = []
        visitor.context.on("request", lambda request: asked.append(request.url))
        page = await visitor.opens("/docs")
        await page.locator(READ_PROFILE).wait_for()
        await page.get_by_role("button", name="Authorize").first.click()
        form = page.locator(".auth-container").filter(has_text="access_token")
        await form.get_by_role("textbox").fill(token)
        await form.get_by_role("button", name="Apply credentials").click()
        await page.get_by_role("button", name="Close").first.click()
        await page.locator(f"{READ_PROFILE} .opblock-summary-control").click()
        await page.locator(READ_PROFILE).get_by_role("button", name="Try it out").click()
        await page.locator(READ_PROFILE).get_by_role("button", name="Execute").click()
        await expect(page.locator(f"{READ_PROFILE} .live-responses-table")).to_contain_text(person.email)
        assert [url for url in asked if not url.startswith((stack.url, "data:", "blob:"))] == []
        assert token not in str(await page.evaluate("[{...localStorage}, {...sessionStorage}, document.cookie]"))


async def _is_open(operation: Locator) -> bool:
    """Open the console of an operation. While the page is still moving, a click may miss the button."""
    execute = operation.get_by_role("button", name="Execute")
    if not await execute.is_visible():
        await operation.get_by_role("button", name="Try it out").click()
    return await execute.is_visible()


@pytest.mark.full
@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 360),
        ("dark", 1280),
        *(pytest.param(*each, marks=pytest.mark.long) for each in (("light", 1280), ("dark", 360))),
    ],
)
async def test_it_stands_in_nobodys_way(browser: Browser, stack: Stack, scheme: Scheme, width: int) -> None:
    """axe finds no violations in the list, in an operation and its console, and in the dialog for credentials, and
    nothing overflows."""
    async with visiting(browser, stack, width, scheme=scheme) as visitor:
        page = await visitor.opens("/docs")
        await page.locator(READ_PROFILE).wait_for()
        await is_accessible(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        operation = page.locator(CHANGE_PROFILE)
        await operation.locator(".opblock-summary-control").click()
        await operation.locator(".responses-table").wait_for()
        await eventually(lambda: _is_open(operation))
        await is_accessible(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.get_by_role("button", name="Authorize").first.click()
        await page.locator(".auth-container").first.wait_for()
        await is_accessible(page)
