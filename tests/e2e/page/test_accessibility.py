"""The page with screen readers, and on a narrow screen."""

import asyncio

import pytest
from playwright.async_api import Browser, expect

from tests.support.stack.browser import Scheme, is_accessible, needs_browser, visiting
from tests.support.stack.running import PASSWORD, Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]


@pytest.mark.firefox
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.full)])
async def test_nothing_stands_in_anybodys_way(browser: Browser, stack: Stack, person: Person, scheme: Scheme) -> None:
    """axe finds no violations: before signing in, on the dashboard, in dialogs, in both themes."""
    person.order()
    async with visiting(browser, stack, scheme=scheme) as visitor:
        await is_accessible(await visitor.opens())
        page = await visitor.at_home(person)
        await expect(page.locator("tr[data-order]")).to_have_count(1)
        await is_accessible(page)
        await page.get_by_role("button", name="New order").click()
        await expect(page.get_by_role("dialog", name="New order")).to_be_visible()
        await is_accessible(page)


@pytest.mark.full
@pytest.mark.firefox
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_account_stands_in_nobodys_way(
    browser: Browser, stack: Stack, person: Person, scheme: Scheme
) -> None:
    """The same on the account page with its dialogs, and behind the links of mails."""
    key = {"name": "a key", "scopes": ["read"], "current_password": PASSWORD}
    person.http.post("/v1/me/api-keys", json=key).raise_for_status()
    async with visiting(browser, stack, scheme=scheme) as visitor:
        for path in ("/#/forgot", "/#/reset?token=none", "/#/verify?token=none"):
            page = await visitor.opens(path)
            await is_accessible(page)
        await page.get_by_role("button", name="Confirm this address").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await is_accessible(page)
        page = await visitor.signs_in(person.email, "/#/account")
        await expect(page.locator("[data-session], [data-api-key]")).to_have_count(3)
        await expect(page.get_by_role("switch")).not_to_have_count(0)
        await page.get_by_text("Use another address").click()
        await is_accessible(page)
        await page.get_by_role("button", name="Create a key").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await is_accessible(page)


@pytest.mark.full
async def test_a_narrow_screen_scrolls_in_one_direction(browser: Browser, stack: Stack) -> None:
    """At 360 pixels nothing overflows, not even names and addresses without a space."""
    person = await asyncio.to_thread(Person, stack, "Maximiliane-" * 8)
    person.order()
    person.http.close()
    async with visiting(browser, stack, width=360, height=740) as visitor:
        page = await visitor.at_home(person)
        await expect(page.locator("tr[data-order]")).to_have_count(1)
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        await page.get_by_role("button", name="New order").click()
        await expect(page.get_by_role("dialog", name="New order")).to_be_visible()
        assert await page.evaluate("document.querySelector('dialog').scrollWidth") <= 340
        await page.keyboard.press("Escape")
        await page.get_by_role("link", name="Edit profile").click()
        await expect(page.locator("[data-session]")).to_have_count(2)
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
