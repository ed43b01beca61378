"""The page as people use it: in a browser, on a stack that runs."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any
from uuid import uuid4

import aio_pika
import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from PIL import Image
from playwright.async_api import Browser, Page, expect

from shared import topology
from tests.support.stack import browser as browsers
from tests.support.stack.browser import shows, visiting
from tests.support.stack.operators import Operator, bury, query
from tests.support.stack.running import PASSWORD, Person, Stack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(browsers.executable() is None, reason="no Chromium; `make test` installs it where it may"),
]


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsers.launched() as launched:
        yield launched


async def _hint(stack: Stack, person: Person, *panels: str) -> None:
    """Tell the gateways that these panels have changed."""
    async with await aio_pika.connect(stack.info["rabbitmq"]["url"]) as connection:
        exchange = await (await connection.channel()).get_exchange(topology.LIVE)
        body = json.dumps({"user_id": person.id, "panels": panels}).encode()
        await exchange.publish(aio_pika.Message(body), "hint")


async def _fill_order(page: Page, name: str, price: str) -> None:
    dialog = page.get_by_role("dialog", name="New order")
    await dialog.get_by_label("Item").fill(name)
    await dialog.get_by_label("SKU").fill("tea-100")
    await dialog.get_by_label("Quantity").fill("2")
    await dialog.get_by_label("Price each").fill(price)


async def _accessible(page: Page) -> None:
    found: Any = await Axe().run(page)
    wrong = [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found.response["violations"]]
    assert not wrong


async def test_somebody_registers_and_looks_around(browser: Browser, stack: Stack) -> None:
    """An account is made, its empty dashboard shown and its name changed; a reload keeps the session."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        await page.get_by_role("button", name="Create account").first.click()
        await page.get_by_label("Name").fill("Grace Hopper")
        await page.get_by_label("E-mail").fill(f"{uuid4().hex}@example.com")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.locator("form").get_by_role("button", name="Create account").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Grace")
        await expect(page.get_by_text("No orders yet.")).to_be_visible()
        await page.get_by_role("button", name="Edit profile").click()
        await page.get_by_label("Name").fill("Grace Brewster Hopper")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator(".profile .name")).to_have_text("Grace Brewster Hopper")
        await page.reload()
        await expect(page.locator(".profile .name")).to_have_text("Grace Brewster Hopper")
        stored = await page.evaluate(
            "JSON.stringify([Object.values(localStorage), Object.values(sessionStorage), document.cookie])"
        )
        assert stored == '[[],[],""]'


async def test_what_is_refused_is_said_at_its_field(browser: Browser, stack: Stack, person: Person) -> None:
    """A wrong password, a taken address and an odd price each get their message."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        await page.get_by_label("E-mail").fill(person.email)
        await page.get_by_label("Password").fill("not this one")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.get_by_role("button", name="Create account").first.click()
        await page.get_by_label("Password").fill("short")
        await page.locator("form").get_by_role("button", name="Create account").click()
        await expect(page.locator(".wrong")).to_have_count(2)
        await page.get_by_role("button", name="Sign in").first.click()
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="New order").click()
        await _fill_order(page, "Green tea", "12.345")
        await page.get_by_role("button", name="Place order").click()
        await expect(page.get_by_text("An amount, such as 12.50")).to_be_visible()


async def test_an_order_appears_in_the_other_tab(browser: Browser, stack: Stack, person: Person) -> None:
    """Placed in one tab, it is in the other by itself, with its notification and its place in the figures; so is
    what becomes of it."""
    async with visiting(browser, stack) as visitor:
        here = await visitor.at_home(person)
        there = await visitor.opens()
        await shows(there, "orders", "fresh")
        await here.get_by_role("button", name="New order").click()
        await _fill_order(here, "Green tea", "12.50")
        await expect(here.get_by_role("dialog").locator(".sum strong")).to_have_text("€25.00")
        await here.get_by_role("button", name="Place order").click()
        await expect(there.locator("tr[data-order]")).to_contain_text("€25.00")
        await expect(there.locator(".note").filter(has_text="Order received")).to_be_visible()
        await there.get_by_role("button", name="Pay order").click()
        await expect(here.locator("tr[data-order]")).to_contain_text("Paid")
        await expect(here.locator(".figure").first).to_contain_text("€25.00")
        await here.locator(".note").first.get_by_role("button").click()
        await expect(there.locator(".note.read").first).to_be_visible()


async def test_a_stopped_service_costs_its_panel_only(browser: Browser, stack: Stack, person: Person) -> None:
    """While it stands still, its panel shows what was known, says since when and why, and the rest goes on; it is
    fresh again by itself."""
    person.order()
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await asyncio.to_thread(lambda: person.dashboard("?panels=orders"))
        with stack.frozen("orders"):
            await _hint(stack, person, "orders")
            await shows(page, "orders", "stale")
            await expect(page.locator('[data-panel="orders"] .stale-note')).to_contain_text("As it was at")
            await expect(page.locator("tr[data-order]")).to_have_count(1)
            await shows(page, "user", "fresh")
        await shows(page, "orders", "fresh")


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
    for _ in range(40):
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
async def test_nothing_stands_in_anybodys_way(
    browser: Browser, stack: Stack, person: Person, scheme: browsers.Scheme
) -> None:
    """axe finds nothing to object to: at the door, on the dashboard, in dialogs, in either theme."""
    person.order()
    async with visiting(browser, stack, scheme=scheme) as visitor:
        await _accessible(await visitor.opens())
        page = await visitor.at_home(person)
        await expect(page.locator("tr[data-order]")).to_have_count(1)
        await _accessible(page)
        await page.get_by_role("button", name="New order").click()
        await _accessible(page)


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
        assert await page.evaluate("document.querySelector('dialog').scrollWidth") <= 340


async def test_signing_out_closes_every_tab(browser: Browser, stack: Stack, person: Person) -> None:
    """All tabs are back at the door, the other says why, and a reload stays there."""
    async with visiting(browser, stack) as visitor:
        here = await visitor.at_home(person)
        there = await visitor.opens()
        await shows(there, "orders", "fresh")
        await here.get_by_role("button", name="Account").click()
        await here.get_by_role("button", name="Sign out").click()
        await expect(there.get_by_role("alert")).to_contain_text("signed out in another tab")
        await expect(here.get_by_label("Password")).to_be_visible()
        await there.reload()
        await expect(there.get_by_label("Password")).to_be_visible()


async def test_an_ended_session_asks_to_sign_in_again(browser: Browser, stack: Stack, person: Person) -> None:
    """When the account is gone, the page is back at the door by itself, and says so."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        assert person.http.delete("/v1/me").status_code == 204
        await expect(page.get_by_role("alert")).to_contain_text("session has ended")


async def test_the_theme_is_kept(browser: Browser, stack: Stack) -> None:
    """What the button chooses is there after a reload, from the first frame."""
    async with visiting(browser, stack, scheme="light") as visitor:
        page = await visitor.opens()
        await page.get_by_role("button", name="Theme: system").click()
        await page.get_by_role("button", name="Theme: light").click()
        await page.reload()
        await expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 21)"


async def test_older_orders_come_on_request(browser: Browser, stack: Stack, person: Person) -> None:
    """The first few are shown, then all there are, each once; what becomes of an old one shows, too."""
    for number in range(30):
        person.order(unit_price=1000 + number)
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        rows = page.locator("tr[data-order]")
        more = page.locator('[data-panel="orders"]').get_by_role("button", name="Show more")
        await expect(rows).to_have_count(8)
        for expected in (20, 30):
            await more.click()
            await expect(rows).to_have_count(expected)
        await expect(more).to_have_count(0)
        await rows.last.get_by_role("button", name="Pay").click()
        await expect(rows.last).to_contain_text("Paid")


async def test_orders_of_one_status(browser: Browser, stack: Stack, person: Person) -> None:
    """Also those that are older than what the panel has; what becomes of one takes it out of the list."""
    paid = [person.order()["id"] for _ in range(3)]
    for order_id in paid:
        person.http.post(f"/v1/orders/{order_id}/pay").raise_for_status()
    for _ in range(22):
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
        await _accessible(page)


async def test_a_picture_takes_the_place_of_the_initials(browser: Browser, stack: Stack, person: Person) -> None:
    """It is sent as it is and shown in the profile and the corner; a text that calls itself one is refused."""
    picture = BytesIO()
    Image.new("RGB", (300, 200), "teal").save(picture, "PNG")
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        chooser = page.get_by_label("Change picture")
        await chooser.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"not a picture"})
        await expect(page.locator(".toast")).to_have_count(1)
        await chooser.set_input_files({"name": "b.png", "mimeType": "image/png", "buffer": picture.getvalue()})
        await expect(page.locator(".avatar.large img")).to_be_visible()
        await expect(page.locator("#account .avatar img")).to_be_visible()
        await page.get_by_role("button", name="Remove picture").click()
        await expect(page.locator(".avatar.large")).to_have_text("AT")


async def test_a_file_is_imported_before_ones_eyes(browser: Browser, stack: Stack, person: Person) -> None:
    """Its progress and its errors appear by themselves, and its orders among the others."""
    head = "reference,currency,sku,name,quantity,unit_price,ordered_at"
    rows = [f"a-{number},EUR,tea,Green tea,1,{100 + number},2026-01-31T12:00:00Z" for number in range(40)]
    file = "\n".join([head, *rows, "a-40,EUR,tea,Green tea,none,1,2026-01-31T12:00:00Z", ""]).encode()
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await page.get_by_label("Import a file").set_input_files(
            {"name": "old.csv", "mimeType": "text/csv", "buffer": file}
        )
        imported = page.locator("[data-import]")
        await expect(imported).to_contain_text("completed", timeout=30_000)
        await expect(imported).to_contain_text("40 of 41 rows, 1 with errors")
        async with page.expect_download() as download:
            await imported.get_by_role("button", name="Errors").click()
        path = await (await download.value).path()
        assert "quantity" in path.read_text()
        await expect(page.locator("tr[data-order]")).to_have_count(8)


async def test_a_report_is_downloaded(browser: Browser, stack: Stack, person: Person) -> None:
    """The chosen days come as a CSV file, with the order of today."""
    order = person.order()
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Download", exact=True).click()
        assert order["id"] in (await (await download.value).path()).read_text()
        await expect(page.get_by_role("button", name="Download Orders again")).to_be_visible()


async def test_without_a_connection_nothing_is_called_up_to_date(
    browser: Browser, stack: Stack, person: Person
) -> None:
    """Every card says as of when it is; once the connection is back, so is all the rest."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await expect(page.locator(".freshness")).to_have_text(["Up to date"] * 5)
        await visitor.context.set_offline(True)
        await expect(page.locator("#live")).to_have_text("Reconnecting…")
        await expect(page.locator(".freshness").first).to_contain_text("As of")
        await visitor.context.set_offline(False)
        person.order()
        await expect(page.locator("#live")).to_have_text("Live", timeout=30_000)
        await expect(page.locator(".freshness")).to_have_text(["Up to date"] * 5)
        await expect(page.locator("tr[data-order]")).to_have_count(1)


async def test_a_webhook_is_added_and_removed(browser: Browser, stack: Stack, person: Person) -> None:
    """Its secret is shown once; a wrong address is said at the field; each call is listed."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await page.get_by_role("button", name="Add a webhook").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Address").fill("nowhere")
        await dialog.get_by_role("button", name="Add").click()
        await expect(dialog.locator(".wrong")).to_be_visible()
        await _accessible(page)
        await dialog.get_by_label("Address").fill("https://127.0.0.1:9/hooks")
        await dialog.get_by_role("button", name="Add").click()
        await expect(dialog.locator(".secret")).to_contain_text("whsec_")
        await dialog.get_by_role("button", name="I have kept it").click()
        await page.get_by_role("button", name="Calls to https://127.0.0.1:9/hooks").click()
        await expect(dialog).to_contain_text("Nothing has been sent yet.")
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Remove https://127.0.0.1:9/hooks").click()
        await dialog.get_by_role("button", name="Remove").click()
        await expect(page.get_by_text("No webhook yet.")).to_be_visible()


@pytest.fixture
async def admin(stack: Stack) -> Operator:
    return await asyncio.to_thread(Operator, stack, "admin")


@pytest.fixture
async def group(stack: Stack) -> AsyncIterator[str]:
    """An error group for one test; nothing of it is left for others to wonder at."""
    name = f"broken-{uuid4().hex[:12]}"
    yield name
    await asyncio.to_thread(query, stack, "worker", "DELETE FROM jobs WHERE error_group = $1", name)


async def test_an_administrator_ships_an_order(browser: Browser, stack: Stack, admin: Operator) -> None:
    """A paid one; after that nothing more can be done with it."""
    async with httpx.AsyncClient(base_url=stack.url, headers=admin.person.http.headers, timeout=15) as http:
        item = {"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price": 1250}
        placed = await http.post("/v1/orders", json={"currency": "EUR", "items": [item]})
        order = placed.raise_for_status().json()["id"]
        (await http.post(f"/v1/orders/{order}/pay")).raise_for_status()
        async with visiting(browser, stack) as visitor:
            page = await visitor.signs_in(admin.person.email)
            row = page.locator(f'[data-order="{order}"]')
            await row.get_by_role("button", name="Ship").click()
            await expect(row).to_contain_text("Shipped")
            await expect(row.locator(".do button")).to_have_count(0)
        assert (await http.get(f"/v1/orders/{order}")).json()["status"] == "shipped"


async def test_an_operator_replays_dead_jobs(browser: Browser, stack: Stack, admin: Operator, group: str) -> None:
    """The page names what failed and why, shows each job, has the group replayed, and is well again."""
    users = await asyncio.to_thread(bury, stack, group, 3)
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(admin.person.email, "/ops")
        row = page.locator(f'[data-group="{group}"]')
        await expect(row).to_contain_text("Broken: by a test")
        await expect(page.locator(".verdict.ill")).to_contain_text("3 dead jobs of notifications")
        await _accessible(page)
        await row.get_by_role("button", name=group, exact=True).click()
        await expect(page.get_by_role("dialog").locator(".entry")).to_have_count(3)
        await page.keyboard.press("Escape")
        await row.get_by_role("button", name="Replay").click()
        await page.get_by_role("dialog").get_by_role("button", name="Replay").click()
        await expect(row).to_have_count(0, timeout=20_000)
        await expect(page.locator(".verdict")).to_have_text("All is well", timeout=20_000)
    notified = "SELECT 1 FROM notifications WHERE user_id = ANY($1)"
    assert len(await asyncio.to_thread(query, stack, "worker", notified, users)) == 3


async def test_an_operator_sees_what_stands_still(browser: Browser, stack: Stack) -> None:
    """Support sees a process that answers nothing, and may change nothing."""
    support = await asyncio.to_thread(Operator, stack, "support")
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(support.person.email, "/ops")
        await expect(page.locator("tbody").filter(has_text="orders").first).to_be_visible()
        with stack.frozen("orders"):
            await expect(page.locator(".verdict")).to_contain_text("orders is unreachable", timeout=30_000)
            await expect(page.get_by_role("button", name="Replay")).to_have_count(0)
        await expect(page.locator(".verdict")).to_have_text("All is well", timeout=30_000)


async def test_operations_are_for_operators(browser: Browser, stack: Stack, person: Person) -> None:
    """Anybody else is told so, and shown the way."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(person.email, "/ops")
        await expect(page.get_by_role("heading", name="For operators only")).to_be_visible()
    assert person.http.get("/v1/admin/status").status_code == 403
