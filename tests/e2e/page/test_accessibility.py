"""The page by keyboard, for screen readers, and on a narrow screen."""

import asyncio
import re

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.stack.browser import Scheme, is_accessible, needs_browser, shows, visiting
from tests.support.stack.running import PASSWORD, Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]


async def test_by_keyboard_alone(browser: Browser, stack: Stack, person: Person) -> None:
    """Somebody signs in, places an order and closes what was opened without a pointer; the focus is always seen."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        await expect(page.get_by_label("E-mail")).to_be_focused()
        await page.keyboard.type(person.email)
        await page.keyboard.press("Tab")
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await shows(page, "orders", "fresh")
        await _tab_to(page, "New order")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("combobox", name="Currency")).to_be_focused()
        for text in ("Mint tea", "mint-50", "1", "3.20"):
            await page.keyboard.press("Tab")
            await page.keyboard.type(text)
        await page.keyboard.press("Enter")
        await expect(page.locator("tr[data-order]")).to_contain_text("€3.20")
        await _tab_to(page, "details")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_contain_text("Mint tea")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.locator(":focus")).to_have_attribute("aria-label", re.compile("details"))


async def _tab_to(page: Page, words: str) -> None:
    for _ in range(200):
        if words in await _focused(page):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"the focus never comes to {words!r}")


async def _focused(page: Page) -> str:
    """What a button or link with the focus says; nothing when something else has it."""
    name: str = await page.evaluate(
        "document.activeElement.matches('button, a')"
        " ? document.activeElement.ariaLabel ?? document.activeElement.textContent : ''"
    )
    return name


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_stands_in_anybodys_way(browser: Browser, stack: Stack, person: Person, scheme: Scheme) -> None:
    """axe finds nothing to object to: at the door, on the dashboard, in dialogs, in either theme."""
    person.order()
    async with visiting(browser, stack, scheme=scheme) as visitor:
        await is_accessible(await visitor.opens())
        page = await visitor.at_home(person)
        await expect(page.locator("tr[data-order]")).to_have_count(1)
        await is_accessible(page)
        await page.get_by_role("button", name="New order").click()
        await expect(page.get_by_role("dialog", name="New order")).to_be_visible()
        await is_accessible(page)


async def test_a_narrow_screen_scrolls_in_one_direction(browser: Browser, stack: Stack) -> None:
    """At 360 pixels nothing sticks out, not even names and addresses without a space in them."""
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
