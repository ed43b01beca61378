"""The API reference at `/docs`, and its console."""

import pytest
from playwright.async_api import Browser, expect

from tests.support.stack.browser import needs_browser, visiting
from tests.support.stack.running import Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]

READ_PROFILE = "#operations-accounts-read_profile"


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
