"""Both pages with the keyboard only: every action, and the focus after it."""

import asyncio
from io import BytesIO
from uuid import uuid4

import pytest
from PIL import Image
from playwright.async_api import Browser, Locator, Page, expect

from tests.support.stack.browser import needs_browser, shows, visiting
from tests.support.stack.keyboard import (
    escapes,
    moves_focus,
    never_lost_focus,
    press,
    stays,
    tab_reaches_everything,
    watch_focus,
)
from tests.support.stack.operators import Operator, bury, query
from tests.support.stack.running import PASSWORD, Person, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.full, needs_browser]


async def test_the_dashboard(browser: Browser, stack: Stack, person: Person) -> None:
    """After each action the focus is where it was, or at the next sensible element; it is never lost."""
    item = {"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price": 1250}
    person.http.post("/v1/orders", json={"currency": "USD", "items": [item]}).raise_for_status()
    for number in range(9):
        person.order(unit_price=1000 + number)
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        await _signs_in(page, person)
        await expect(page.locator(".note")).to_have_count(7)
        await watch_focus(page)
        await tab_reaches_everything(page)
        await _top(page)
        await _new_order(page)
        await _orders(page)
        await _chart(page, person)
        await _notifications(page)
        await _imports(page)
        await _reports(page)
        await _webhooks(page)
        await never_lost_focus(page)
        await press(_button(page, "Account"))
        await moves_focus(_button(page, "Sign out"), page.get_by_label("E-mail"))


def _button(place: Page | Locator, name: str) -> Locator:
    return place.get_by_role("button", name=name, exact=True)


async def _signs_in(page: Page, person: Person) -> None:
    await expect(page.get_by_label("E-mail")).to_be_focused()
    await moves_focus(_button(page, "Create account").first, page.get_by_label("Name"))
    await moves_focus(_button(page, "Sign in").first, page.get_by_label("E-mail"))
    await page.keyboard.type(person.email)
    await page.keyboard.press("Tab")
    await page.keyboard.type("wrong")
    await page.keyboard.press("Enter")
    await expect(page.locator("form [role=alert]")).to_be_visible()
    await expect(page.get_by_label("Password")).to_be_focused()
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    for panel in ("user", "orders", "notifications", "analytics"):
        await shows(page, panel, "fresh")
    await expect(page.locator("#content")).to_be_focused()


async def _top(page: Page) -> None:
    await moves_focus(page.get_by_role("link", name="Skip to content"), page.locator("#content"))
    for _ in range(3):
        await stays(page.locator("#theme"))
    account = _button(page, "Account")
    await stays(account)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Your account", exact=True)).to_be_focused()
    await escapes(page, account)


async def _new_order(page: Page) -> None:
    new, dialog = _button(page, "New order"), page.get_by_role("dialog", name="New order")
    await moves_focus(new, dialog.get_by_label("Currency"))
    await escapes(page, new)
    await moves_focus(new, dialog.get_by_label("Currency"))
    await moves_focus(_button(dialog, "Add a line"), dialog.get_by_label("Item").nth(1))
    await moves_focus(_button(dialog, "Remove this line").nth(1), dialog.get_by_label("Item"))
    await moves_focus(_button(dialog, "Place order"), dialog.get_by_label("Item"))
    for text in ("Mint tea", "mint-50", "1", "3.20"):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    await moves_focus(_button(dialog, "Place order"), new)
    await moves_focus(_button(page, "Dismiss"), new)


async def _orders(page: Page) -> None:
    first = page.locator("tr[data-order]").first
    await expect(first).to_contain_text("€3.20")
    order = await first.get_attribute("data-order")
    row = page.locator(f'[data-order="{order}"]')
    details = row.get_by_role("link", name="details")
    await moves_focus(details, page.get_by_role("heading", name="Order", level=1))
    await expect(page.get_by_role("table")).to_contain_text("Mint tea")
    await page.evaluate("history.back()")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await moves_focus(row.get_by_role("button", name="Pay"), row.get_by_role("button", name="Cancel"))
    await expect(row).to_contain_text("Paid")
    cancel = row.get_by_role("button", name="Cancel")
    await moves_focus(cancel, _button(page, "Close"))
    await escapes(page, cancel)
    await moves_focus(cancel, _button(page, "Close"))
    await moves_focus(_button(page, "Cancel the order"), details)
    await expect(row).to_contain_text("Cancelled")
    which = page.get_by_label("Which orders")
    await which.focus()
    await which.select_option("created")
    await expect(page.locator("tr[data-order]")).to_have_count(8)
    await expect(which).to_be_focused()
    rows = page.locator("tr[data-order]")
    second = rows.nth(1).get_by_role("link", name="details")
    await press(rows.first.get_by_role("button", name="Cancel"))
    name = await second.get_attribute("aria-label") or ""
    await press(_button(page, "Cancel the order"))
    await expect(page.get_by_role("link", name=name)).to_be_focused()
    await which.select_option("All")
    more = page.locator('[data-panel="orders"]').get_by_role("button", name="Show more")
    await press(more)
    await expect(more).to_have_count(0)
    await expect(page.locator(":focus").locator("xpath=ancestor::tr")).to_have_count(1)


async def _chart(page: Page, person: Person) -> None:
    card = page.locator("section", has=page.get_by_role("heading", name="Order value"))
    for name in ("USD", "EUR", "1 year", "7 days"):
        await stays(_button(card, name))
    summary = card.locator("summary")
    await stays(summary)
    await expect(card.get_by_role("table")).to_be_visible()
    before = await card.locator(".chart-sum").inner_text()
    await asyncio.to_thread(person.order)
    await expect(card.locator(".chart-sum")).not_to_have_text(before)
    await expect(card.get_by_role("table")).to_be_visible()
    await expect(summary).to_be_focused()


async def _notifications(page: Page) -> None:
    card = page.locator('[data-panel="notifications"]')
    await expect(card.locator(".count")).to_have_text("16 new")  # all have arrived
    marks = card.get_by_role("button", name="Mark as read")
    await moves_focus(marks.first, card.locator(".note a").first)
    await press(_button(card, "Show more"))
    await expect(_button(card, "Mark all as read")).to_be_focused()
    await press(_button(card, "Mark all as read"))
    await expect(marks).to_have_count(0)
    await expect(card.locator(".note a:focus")).to_have_count(1)


async def _imports(page: Page) -> None:
    choose = page.get_by_label("Import a file")
    await choose.focus()
    file = b"reference,currency,sku,name,quantity,unit_price,ordered_at\na,EUR,tea,Tea,none,1,2026-01-31T12:00:00Z\n"
    await choose.set_input_files({"name": "old.csv", "mimeType": "text/csv", "buffer": file})
    await expect(page.locator("[data-import]")).to_contain_text("1 with errors")
    await expect(choose).to_be_focused()
    await moves_focus(page.get_by_role("link", name="Errors of"), page.get_by_role("heading", name="old.csv"))
    async with page.expect_download():
        await stays(_button(page, "Download all as CSV"))
    await page.evaluate("history.back()")
    async with page.expect_download():
        await stays(_button(page, "Example file"))


async def _reports(page: Page) -> None:
    async with page.expect_download():
        await stays(_button(page, "Download"))
    async with page.expect_download():
        await stays(_button(page, "Download Orders again"))


async def _webhooks(page: Page) -> None:
    add, dialog = _button(page, "Add a webhook"), page.get_by_role("dialog")
    await moves_focus(add, dialog.get_by_label("Address"))
    await page.keyboard.type("nowhere")
    await moves_focus(_button(dialog, "Add"), dialog.get_by_label("Address"))
    await dialog.get_by_label("Address").fill("https://127.0.0.1:9/hooks")
    await press(_button(dialog, "Add"))
    await expect(page.get_by_role("dialog", name="Secret")).to_be_visible()
    await moves_focus(_button(dialog, "I have kept it"), add)
    calls = page.get_by_role("button", name="Calls to")
    await moves_focus(calls, _button(dialog, "Close"))
    await escapes(page, calls)
    edit = page.get_by_role("button", name="Edit https://127.0.0.1:9/hooks")
    await moves_focus(edit, dialog.get_by_label("Address"))
    await moves_focus(_button(dialog, "Save"), edit)
    on, off = (page.get_by_role("button", name=f"Switch {name} ") for name in ("on", "off"))
    await moves_focus(off, on)
    await moves_focus(on, off)
    remove = _button(page, "Remove https://127.0.0.1:9/hooks")
    await press(remove)
    await press(_button(dialog, "Remove"))
    await expect(remove).to_have_count(0)
    await expect(page.get_by_role("heading", name="Webhooks")).to_be_focused()


async def test_the_account(browser: Browser, stack: Stack, person: Person) -> None:
    """The way there and back, each section of the account page, and the views for a forgotten password."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        await moves_focus(page.get_by_role("link", name="Forgot password?"), page.get_by_label("E-mail"))
        await page.keyboard.type("nobody@example.com")
        await press(_button(page, "Send the link"))
        await expect(page.get_by_text("a mail with a link is on its way")).to_be_visible()
        await moves_focus(page.get_by_role("link", name="Go to the sign-in"), page.get_by_label("E-mail"))
        page = await visitor.at_home(person)
        await moves_focus(page.get_by_role("link", name="Edit profile"), _heading(page, "Your account"))
        await expect(page.locator("[data-session]")).to_have_count(2)
        await expect(page.get_by_role("switch")).not_to_have_count(0)
        await watch_focus(page)
        await tab_reaches_everything(page)
        await _profile(page)
        await _sessions(page)
        await _api_keys(page)
        await stays(page.get_by_role("switch", name="Weekly digest"), "Space")
        await press(page.get_by_text("Delete my account…"))
        await expect(page.get_by_role("dialog").get_by_label("Current password")).to_be_focused()
        await escapes(page, page.get_by_text("Delete my account…"))
        await never_lost_focus(page)
        await press(page.get_by_role("link", name="Back to your dashboard"))
        await expect(page.get_by_role("heading", level=1)).to_be_focused()
        await expect(page.get_by_role("link", name="Edit profile")).to_be_visible()


def _heading(page: Page, name: str) -> Locator:
    return page.get_by_role("heading", name=name)


async def _profile(page: Page) -> None:
    name = page.get_by_label("Name", exact=True)
    await name.fill("Ann Newton")
    await moves_focus(name, name)
    await expect(page.locator(".toast")).to_contain_text("Your name has been changed.")
    await stays(_button(page, "Save the name"))
    picture = BytesIO()
    Image.new("RGB", (30, 20), "teal").save(picture, "PNG")
    change = page.get_by_label("Change picture")
    await change.focus()
    await change.set_input_files({"name": "b.png", "mimeType": "image/png", "buffer": picture.getvalue()})
    await expect(page.locator(".avatar.large img")).to_be_visible()
    await expect(change).to_be_focused()
    await moves_focus(_button(page, "Remove picture"), change)
    await expect(_button(page, "Remove picture")).to_have_count(0)
    await press(page.get_by_text("Use another address"))
    address = page.get_by_label("New e-mail address")
    await address.fill(f"{uuid4().hex}@example.com")
    await moves_focus(address, page.locator('[data-section="profile"]').get_by_label("Current password"))
    await page.keyboard.type(PASSWORD)
    await press(_button(page, "Change the address"))
    await expect(page.locator(".waiting-address")).to_be_visible()
    await expect(_button(page, "Change the address")).to_be_focused()
    await press(_button(page, "Keep the present address"))
    await expect(page.locator(".waiting-address")).to_have_count(0)
    await expect(page.get_by_text("Use another address")).to_be_focused()


async def _sessions(page: Page) -> None:
    others = _button(page, "Sign out everywhere else")
    await moves_focus(others, _button(page, "Close"))
    await escapes(page, others)
    await press(page.locator("[data-session]").get_by_role("button"))
    await expect(page.locator("[data-session]")).to_have_count(1)
    await expect(_heading(page, "Sessions")).to_be_focused()


async def _api_keys(page: Page) -> None:
    create, dialog = _button(page, "Create a key"), page.get_by_role("dialog")
    await moves_focus(create, dialog.get_by_label("Name"))
    await page.keyboard.type("a key")
    await dialog.get_by_label("Current password").fill(PASSWORD)
    await press(_button(dialog, "Create"))
    await expect(page.get_by_role("dialog", name="The key a key")).to_be_visible()
    await moves_focus(_button(dialog, "I have kept it"), create)
    await press(_button(page, "Delete the key a key"))
    await press(_button(dialog, "Delete the key"))
    await expect(_heading(page, "API keys")).to_be_focused()


async def test_the_operators_page(browser: Browser, stack: Stack) -> None:
    """The same for operators. If a group of jobs disappears, the focus moves to the next."""
    admin = await asyncio.to_thread(Operator, stack, "admin")
    names = sorted(f"keyboard-{uuid4().hex[:12]}" for _ in range(3))
    try:
        for name, jobs in zip(names, (23, 22, 21), strict=True):
            await asyncio.to_thread(bury, stack, name, jobs)
        async with visiting(browser, stack) as visitor:
            page = await visitor.signs_in(admin.person.email, "/ops")
            await expect(page.locator("#content")).to_be_focused()
            groups = [page.locator(f'[data-group="{name}"]') for name in names]
            for group in groups:
                await expect(group).to_be_visible()
            await expect(page.locator(".verdict")).to_contain_text("66 dead jobs of notifications")
            await watch_focus(page)
            await tab_reaches_everything(page)
            await _states(page)
            await _jobs(page, groups[0].get_by_role("link", name=names[0]))
            await expect(groups[0]).to_be_visible()
            await _replay(page, groups)
            await _discard(page, groups)
            await never_lost_focus(page)
    finally:
        await asyncio.to_thread(query, stack, "worker", "DELETE FROM jobs WHERE error_group LIKE 'keyboard-%'")


async def _states(page: Page) -> None:
    states = page.get_by_role("group", name="State").get_by_role("button")
    for name in ("Retrying", "Discarded", "Dead"):
        await stays(states.filter(has_text=name))


async def _jobs(page: Page, cause: Locator) -> None:
    jobs = page.locator("[data-job] a")
    await moves_focus(cause, page.get_by_role("heading", name="Jobs", exact=True, level=1))
    await expect(jobs).to_have_count(23)
    await stays(_button(page, "Search"))
    await moves_focus(jobs.first, page.get_by_role("heading", name="notifications", level=1))
    await moves_focus(
        page.get_by_role("link", name="Overview"), page.get_by_role("heading", name="Operations", level=1)
    )


async def _replay(page: Page, groups: list[Locator]) -> None:
    again = groups[0].get_by_role("button", name="Replay")
    await moves_focus(again, _button(page, "Close"))
    await escapes(page, again)
    await press(again)
    await press(_button(page.get_by_role("dialog"), "Replay"))
    await expect(groups[0]).to_have_count(0)
    await expect(groups[1].get_by_role("link").first).to_be_focused()


async def _discard(page: Page, groups: list[Locator]) -> None:
    dialog = page.get_by_role("dialog")
    for group, after in ((groups[1], groups[2].get_by_role("link").first), (groups[2], None)):
        await moves_focus(group.get_by_role("button", name="Discard"), dialog.get_by_label("Reason"))
        await page.keyboard.type("a test")
        await page.keyboard.press("Enter")
        await expect(group).to_have_count(0)
        if after:
            await expect(after).to_be_focused()
    card = page.locator("section", has=page.get_by_role("heading", name="Failed jobs"))
    await expect(card.locator(":focus")).to_have_count(1)
