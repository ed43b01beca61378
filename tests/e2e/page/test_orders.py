"""Orders on the page: placed, listed, and synchronised between tabs."""

import re

import pytest
from playwright.async_api import Browser, expect

from tests.support.stack.browser import fill_order, is_accessible, needs_browser, shows, visiting
from tests.support.stack.running import Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]


@pytest.mark.full
async def test_an_order_appears_in_the_other_tab(browser: Browser, stack: Stack, person: Person) -> None:
    """An order that is placed in one tab appears in the other by itself, with its notification and in the figures, and
    so do its changes."""
    async with visiting(browser, stack) as visitor:
        here = await visitor.at_home(person)
        there = await visitor.opens()
        await shows(there, "orders", "fresh")
        await here.get_by_role("button", name="New order").click()
        await fill_order(here, "Green tea", "12.50")
        await expect(here.get_by_role("dialog").locator(".sum strong")).to_have_text("€25.00")
        await here.get_by_role("button", name="Place order").click()
        await expect(there.locator("tr[data-order]")).to_contain_text("€25.00")
        await expect(there.locator(".note").filter(has_text="Order received")).to_be_visible()
        await there.get_by_role("button", name="Pay order").click()
        await expect(here.locator("tr[data-order]")).to_contain_text("Paid")
        await expect(here.locator(".figure").first).to_contain_text("€25.00")
        await here.locator(".note").first.get_by_role("button").click()
        await expect(there.locator(".note.read").first).to_be_visible()


@pytest.mark.firefox
async def test_an_order_has_a_page(browser: Browser, stack: Stack, person: Person) -> None:
    """A search and a notification lead to it. It shows what has happened, also while that happens."""
    lamp, tea = person.order(), person.order(name="Green tea 50%")
    async with visiting(browser, stack, timezone_id="Asia/Tokyo") as visitor:
        page = await visitor.at_home(person)
        rows = page.locator("tr[data-order]")
        await expect(rows).to_have_count(2)
        await page.get_by_role("button", name="7 days").click()
        await expect(page.locator(".chart-sum")).to_contain_text("in 7 days")
        await page.get_by_label("Item or order number").fill("tea 50%")
        await expect(rows).to_have_count(1)
        await rows.get_by_role("link").click()
        await expect(page).to_have_url(re.compile(f"#/orders/{tea['id']}$"))
        history = page.get_by_role("list", name="History").get_by_role("listitem")
        await expect(history).to_have_count(1)
        person.http.post(f"/v1/orders/{tea['id']}/pay").raise_for_status()
        await expect(history).to_contain_text(["Placed", "Paid"])
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Cancel the order").click()
        await expect(history).to_contain_text(["Placed", "Paid", "Cancelled"])
        await is_accessible(page)
        await page.evaluate("history.back()")
        notes = page.locator(".note:not(.read)")
        await expect(notes.filter(has_text="Order received")).to_have_count(2)
        unread = await notes.count()
        await notes.filter(has_text="Order received").last.get_by_role("link").click()
        await expect(page).to_have_url(re.compile(f"#/orders/{lamp['id']}$"))
        await page.evaluate("history.back()")
        await expect(notes).to_have_count(unread - 1)
        await page.get_by_role("button", name="Mark all as read").click()
        await expect(notes).to_have_count(0)
        await page.get_by_role("button", name="Undo").click()
        await expect(notes).to_have_count(unread - 1)


@pytest.mark.firefox
@pytest.mark.full
async def test_older_orders_come_on_request(browser: Browser, stack: Stack, person: Person) -> None:
    """The first few orders are shown, then all, each once. Changes of an old one are shown, too."""
    for number in range(22):
        person.order(unit_price=1000 + number)
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        rows = page.locator("tr[data-order]")
        more = page.locator('[data-panel="orders"]').get_by_role("button", name="Show more")
        await expect(rows).to_have_count(8)
        for expected in (20, 22):
            await more.click()
            await expect(rows).to_have_count(expected)
        await expect(more).to_have_count(0)
        await rows.last.get_by_role("button", name="Pay").click()
        await expect(rows.last).to_contain_text("Paid")


@pytest.mark.firefox
@pytest.mark.full
async def test_orders_of_one_status(browser: Browser, stack: Stack, person: Person) -> None:
    """The list includes orders that are older than those of the panel. A change of status removes an order from it."""
    paid = [person.order()["id"] for _ in range(3)]
    for order_id in paid:
        person.http.post(f"/v1/orders/{order_id}/pay").raise_for_status()
    for _ in range(20):
        person.order()
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        rows = page.locator("tr[data-order]")
        which = page.get_by_label("Which orders")
        await which.select_option("paid")
        await expect(rows).to_have_count(3)
        await expect(rows.get_by_role("button", name="Ship")).to_have_count(0)
        await rows.first.get_by_role("button", name="Cancel").click()
        await page.get_by_role("dialog").get_by_role("button", name="Cancel the order").click()
        await expect(rows).to_have_count(2)
        await which.select_option("shipped")
        await expect(page.get_by_text("No order is shipped.")).to_be_visible()
        await which.select_option("All")
        await expect(rows).to_have_count(8)
        await is_accessible(page)
