"""The appearance of the pages with restricted space, colours or motion."""

import asyncio
import json
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.stack.browser import needs_browser, visiting
from tests.support.stack.operators import Operator, bury, query
from tests.support.stack.running import Person, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.full, needs_browser]

LONG = "SMTPRecipientRefused: 550 5.1.1 <" + "mailbox" * 20 + "@example.org>"
IN_VIEW = "(each) => { const box = each.getBoundingClientRect(); return box.left >= 0 && box.right <= innerWidth }"
NEW = "(row) => { row.classList.add('new'); return getComputedStyle(row).animationName }"
LINES = """(all) => all.map((each) => {
  const range = document.createRange();
  range.selectNodeContents(each.firstChild);
  return range.getClientRects().length;
})"""
TOAST = """async (text) => {
  const main = document.querySelector("script[type=module]").src;
  const { toast } = await import(new URL("dom.js", main));
  toast(text, { stays: true });
}"""


async def fits(page: Page, width: int) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") == width


async def test_the_account_menu_fits_a_narrow_screen(browser: Browser, stack: Stack) -> None:
    """The menu fits even with a long name without spaces, and the number of each figure stays on one line."""
    person = await asyncio.to_thread(Person, stack, "Maximiliane-" * 8)
    await asyncio.to_thread(person.order, 1, 99_999_999)
    person.http.close()
    async with visiting(browser, stack, width=360, height=740) as visitor:
        page = await visitor.at_home(person)
        await page.get_by_role("button", name="Account").click()
        assert await page.get_by_role("button", name="Sign out").evaluate(IN_VIEW)
        assert await page.locator("#account-menu").evaluate(IN_VIEW)
        await expect(page.locator(".figure dd").first).to_contain_text("999,999.99")
        lines = await page.locator(".figure dd").evaluate_all(LINES)
        assert lines == [1, 1, 1, 1]
        await fits(page, 360)


async def test_operations_fit_a_narrow_screen(browser: Browser, stack: Stack) -> None:
    """Even with a long cause, each action is visible, in the overview and on the page of a job."""
    admin = await asyncio.to_thread(Operator, stack, "admin")
    cause = f"{LONG} {uuid4().hex[:12]}"
    (user,) = await asyncio.to_thread(bury, stack, cause)
    try:
        async with visiting(browser, stack, width=360, height=740) as visitor:
            page = await visitor.signs_in(admin.person.email, "/ops")
            group = page.locator(f"[data-group={json.dumps(cause)}]")
            for name in ("Replay", "Discard"):
                await group.get_by_role("button", name=name).scroll_into_view_if_needed()
                assert await group.get_by_role("button", name=name).evaluate(IN_VIEW)
            await fits(page, 360)
            wide = "(all) => all.filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.ariaLabel)"
            assert await page.locator(".scroll").evaluate_all(wide) == []
            await group.get_by_role("button", name="Discard").click()
            dialog = page.get_by_role("dialog")
            await dialog.get_by_label("Reason").fill("nobody has this mailbox")
            await dialog.get_by_role("button", name="Discard").click()
            await page.get_by_role("button", name="Discarded").click()
            await group.get_by_role("link", name=cause, exact=True).click()
            await page.locator("[data-job] a").click()
            audit = page.get_by_role("region", name="Audit log")
            await expect(audit).to_contain_text("Discarded by you")
            await expect(audit).to_contain_text("nobody has this mailbox")
            message = page.get_by_role("region", name="Message").locator("pre")
            await expect(message.first).to_contain_text(f'"user_id": "{user}"')
            assert "\n" in await message.first.inner_text()
            await fits(page, 360)
            await asyncio.to_thread(query, stack, "worker", RETRY, cause)
            await expect(page.get_by_role("region", name="Details")).to_contain_text("in 3 days")
            await fits(page, 360)
    finally:
        await asyncio.to_thread(query, stack, "worker", "DELETE FROM jobs WHERE error_group = $1", cause)


RETRY = """
    UPDATE jobs SET state = 'retrying', next_attempt_at = now() + interval '3 days' WHERE error_group = $1
"""


async def test_colours_motion_and_paper(browser: Browser, stack: Stack, person: Person) -> None:
    """The chosen segment is visible in forced colours, nothing moves with reduced motion, and prints have no
    buttons."""
    item = {"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price": 1250}
    person.order()
    person.http.post("/v1/orders", json={"currency": "USD", "items": [item]}).raise_for_status()
    async with visiting(browser, stack, scheme="dark", reduced_motion="reduce") as visitor:
        page = await visitor.at_home(person)
        assert await page.locator("tr[data-order]").first.evaluate(NEW) == "none"
        await page.emulate_media(forced_colors="active")
        segments = page.get_by_role("group", name="Currency").get_by_role("button")
        await expect(segments).to_have_count(2)
        colours = "(all) => all.map((each) => getComputedStyle(each).backgroundColor)"
        assert len(set(await segments.evaluate_all(colours))) == 2
        await page.emulate_media(forced_colors="none", media="print")
        await expect(page.locator(".button:visible")).to_have_count(0)
        assert await page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor") == WHITE


WHITE = "rgb(255, 255, 255)"


async def test_messages_are_within_the_open_dialog(browser: Browser, stack: Stack, person: Person) -> None:
    """Messages outside of it could be neither read by screen readers nor dismissed. They stay when the dialog
    closes."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await page.get_by_role("button", name="New order").click()
        await page.evaluate(TOAST, "First")
        await page.evaluate(TOAST, "Second")
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("status").filter(has_text="First")).to_be_visible()
        await dialog.get_by_role("button", name="Dismiss").first.click()
        await expect(page.locator(".toast")).to_have_text(["Second"])
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="Dismiss").click()
        await expect(page.locator(".toast")).to_have_count(0)


async def test_an_unknown_address_shows_a_page(browser: Browser, stack: Stack) -> None:
    """The page links to the dashboard. With a trailing slash, the operators' page is the same."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens("/orders")
        await expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
        await page.get_by_role("link", name="Go to your dashboard").click()
        await expect(page.get_by_label("E-mail")).to_be_visible()
        await page.goto(f"{stack.url}/ops/")
        await expect(page).to_have_title("Operations")
