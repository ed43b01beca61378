"""`python -m tests.e2e.looks [FOLDER]`: takes a picture of every page and state in each look, for a person to check.

The looks are the light and the dark theme, a narrow screen, forced colours, and paper. A picture is named by its page
and its look, such as `account.dark.png`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect

from tests.e2e.screenshots import HOUR, one_provider, settled, take_pictures, write_picture
from tests.support.stack.browser import ANIMATIONS_END, launched, shows, visiting
from tests.support.stack.operators import query
from tests.support.stack.running import PASSWORD, Person, Stack
from tools import demo

FOLDER = Path("build/looks")
WIDE: Any = {"width": 1280, "height": 800}
NARROW: Any = {"width": 360, "height": 740}
LOOKS: Mapping[str, tuple[Mapping[str, Any], Any]] = {
    "light": ({}, WIDE),
    "dark": ({"color_scheme": "dark"}, WIDE),
    "narrow": ({}, NARROW),
    "forced": ({"forced_colors": "active"}, WIDE),
    "print": ({"media": "print"}, {"width": 794, "height": 1123}),
}
"""The media features and the size of the window, by look. Paper is A4."""
PLAIN = {"color_scheme": "light", "forced_colors": "none", "media": "screen"}
ONE_ROW_WRONG = (
    b"reference,currency,sku,name,quantity,unit_price,ordered_at\na,EUR,tea,Tea,none,1,2026-01-31T12:00:00Z\n"
)
NOWHERE = "01935d2e-7f6a-7c2b-9d51-3f0a4b6c8e10"


class Album:
    """The pictures of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def take(self, page: Page, name: str, looks: Sequence[str] = tuple(LOOKS)) -> None:
        """Take a picture of the whole page in each of these looks, and leave it in the light theme."""
        for look in looks:
            features, size = LOOKS[look]
            await self._look(page, PLAIN | dict(features), size)
            write_picture(await page.screenshot(full_page=True), self._folder / f"{name}.{look}.png")
        await self._look(page, PLAIN, WIDE)

    async def _look(self, page: Page, features: Mapping[str, Any], size: Any) -> None:
        await page.emulate_media(**features)
        await page.set_viewport_size(size)
        await page.evaluate(ANIMATIONS_END)
        await page.wait_for_timeout(300)  # charts are drawn with the next frames


def main() -> None:
    folder = take_pictures(_take_all, FOLDER)
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")  # noqa: T201  what it is for


async def _take_all(stack: Stack, folder: Path) -> None:
    album = Album(folder)
    async with launched() as browser:
        await _doors(browser, stack, album)
        await _dashboard(browser, stack, album)
        await _newcomer(browser, stack, album)
        await _account(browser, stack, album)
        await _operations(browser, stack, album)
        await _reference(browser, stack, album)
        await _faults(browser, stack, album)


async def _doors(browser: Browser, stack: Stack, album: Album) -> None:
    """What people see who are not signed in."""
    async with visiting(browser, stack) as visitor:
        await visitor.context.route("**/v1/identity-providers", one_provider)  # the stack has none
        page = await visitor.opens("/#/sign-in")
        await page.get_by_role("button", name="Sign in with Example").wait_for()
        await album.take(page, "sign-in")
        await page.get_by_label("E-mail").fill("nobody@example.com")
        await page.get_by_label("Password").fill("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        await album.take(page, "sign-in-refused")
        for name in (
            "register",
            "forgot",
            "reset?token=sample",
            "verify?token=sample",
            "link?ticket=t&provider=Example",
        ):
            page = await visitor.opens(f"/#/{name}")
            await page.get_by_role("heading", level=1).wait_for()
            await album.take(page, name.partition("?")[0])
        page = await visitor.opens("/#/register")
        await page.get_by_role("button", name="Create account").last.click()
        await expect(page.locator(".wrong").first).to_be_visible()
        await album.take(page, "register-refused")
        page = await visitor.opens("/#/verify?token=sample")
        await page.get_by_role("button", name="Confirm this address").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await album.take(page, "verify-refused")
        await album.take(await visitor.opens("/no/such/page"), "not-found")
        await album.take(await visitor.opens("/v1/unsubscribe/AZNdLn9qfCudUT8KS2yOEA"), "unsubscribe-refused")


async def _dashboard(browser: Browser, stack: Stack, album: Album) -> None:
    async with visiting(browser, stack) as visitor:
        page = await settled(await visitor.signs_in(demo.USER, password=demo.PASSWORD))
        await album.take(page, "dashboard")
        await page.get_by_label("Item or order number").fill("no such thing")
        await expect(page.locator("tr[data-order]")).to_have_count(0)
        await album.take(page, "orders-none")
        await page.get_by_role("button", name="Clear").click()
        await page.get_by_role("button", name="New order").click()
        await page.get_by_role("dialog").get_by_role("button", name="Place order").click()
        await album.take(page, "order-form-refused")
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Account").click()
        await album.take(page, "account-menu", ("light", "dark", "narrow", "forced"))
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Cancel").first.click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await album.take(page, "order-cancel", ("light", "dark", "narrow", "forced"))
        await page.keyboard.press("Escape")
        await _files_and_webhooks(page, album)
        await page.get_by_label("Which orders").select_option("shipped")
        await page.locator("tr[data-order]", has_text="Shipped").first.get_by_role("link").click()
        await expect(page.get_by_role("list", name="History").get_by_role("listitem")).to_have_count(3)
        await album.take(page, "order")
        await _goes(page, f"#/orders/{NOWHERE}")
        await page.get_by_text("No such order").wait_for()
        await album.take(page, "order-missing")


async def _files_and_webhooks(page: Page, album: Album) -> None:
    file: Any = {"name": "old orders.csv", "mimeType": "text/csv", "buffer": ONE_ROW_WRONG}
    await page.get_by_label("Import a file").set_input_files(file)
    await expect(page.locator("[data-import]")).to_contain_text("1 with errors")
    dialog = page.get_by_role("dialog")
    await page.get_by_role("button", name="Add a webhook").click()
    await dialog.get_by_label("Address").fill("https://hooks.example.com/orders")
    await album.take(page, "webhook-form")
    await dialog.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("dialog", name="Secret")).to_be_visible()
    await album.take(page, "webhook-secret")
    await dialog.get_by_role("button", name="I have kept it").click()
    async with page.expect_download():
        await page.get_by_role("button", name="Download", exact=True).click()
    await album.take(page, "files-and-webhooks")
    await page.get_by_role("link", name="Errors of").click()
    await page.get_by_role("heading", name="old orders.csv").wait_for()
    await expect(page.get_by_role("row")).not_to_have_count(0)
    await album.take(page, "import-errors")
    await page.go_back()
    await settled(page)


async def _newcomer(browser: Browser, stack: Stack, album: Album) -> None:
    """An account without orders, with a name that cannot be broken."""
    person = await asyncio.to_thread(Person, stack, "Maximiliane-" * 6)
    person.http.close()
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await album.take(page, "newcomer")
        page = await visitor.opens("/ops")
        await page.get_by_text("operators").first.wait_for()
        await album.take(page, "ops-not-allowed")


async def _account(browser: Browser, stack: Stack, album: Album) -> None:
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(demo.USER, "/#/account", demo.PASSWORD)
        await expect(page.locator("[data-api-key]")).to_have_count(1)
        await expect(page.get_by_role("switch")).not_to_have_count(0)
        await page.get_by_text("Use another address").click()
        await album.take(page, "account")
        dialog = page.get_by_role("dialog")
        await page.get_by_role("button", name="Create a key").click()
        await dialog.get_by_label("Name").fill("backup")
        await album.take(page, "api-key-form")
        await dialog.get_by_label("Current password").fill(demo.PASSWORD)
        await dialog.get_by_role("button", name="Create", exact=True).click()
        await expect(page.get_by_role("dialog", name="The key backup")).to_be_visible()
        await album.take(page, "api-key")
        await dialog.get_by_role("button", name="I have kept it").click()
        await page.get_by_text("Delete my account…").click()
        await expect(dialog).to_be_visible()
        await album.take(page, "account-delete")


async def _operations(browser: Browser, stack: Stack, album: Album) -> None:
    await asyncio.to_thread(query, stack, "worker", HOUR)
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(demo.ADMIN, "/ops", demo.PASSWORD)
        await expect(page.locator("[data-group]")).to_have_count(2)
        await expect(page.locator("canvas")).to_have_count(1)
        await album.take(page, "ops-overview")
        await page.locator("[data-group]").first.get_by_role("button", name="Discard").click()
        await album.take(page, "ops-discard")
        await page.keyboard.press("Escape")
        await _ops_lists(page, album)
        await _ops_views(page, album)
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(demo.ADMIN, "/ops", demo.PASSWORD)
        await page.get_by_role("link", name="Wall mode").click()
        await expect(page.locator(".wall-chart canvas")).to_have_count(1)
        await album.take(page, "ops-wall")


async def _goes(page: Page, fragment: str) -> None:
    """Show another view of the same page."""
    await page.evaluate("(fragment) => { location.hash = fragment }", fragment)


async def _ops_lists(page: Page, album: Album) -> None:
    for address, row, name in (
        ("#/jobs", "[data-job]", "ops-jobs"),
        ("#/jobs?q=mailbox", "[data-job]", "ops-jobs-found"),
        ("#/jobs?q=no-such-thing", ".empty", "ops-jobs-none"),
        ("#/jobs?user_id=nobody", ".result-note", "ops-jobs-refused"),
        ("#/users", "[data-user]", "ops-users"),
        ("#/users?q=demo", "[data-user]", "ops-users-found"),
        ("#/audit", "[data-entry]", "ops-audit"),
    ):
        await _goes(page, address)
        await expect(page.locator(row).first).to_be_visible()
        await expect(page.locator(".result-note")).not_to_have_text("Loading…")
        await album.take(page, name)


async def _ops_views(page: Page, album: Album) -> None:
    await _goes(page, "#/jobs?q=mailbox")
    await page.get_by_role("button", name="Retry all").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await album.take(page, "ops-bulk")
    await page.keyboard.press("Escape")
    await page.locator("[data-job] a").first.click()
    await page.get_by_role("region", name="Details").wait_for()
    await album.take(page, "ops-job")
    await _goes(page, f"#/jobs/email/{NOWHERE}")
    await page.locator(".form-error").first.wait_for()
    await album.take(page, "ops-job-missing")
    await _goes(page, "#/history")
    await expect(page.locator("canvas")).not_to_have_count(0)
    await album.take(page, "ops-history")
    await _goes(page, "#/history?job=email")
    await expect(page.locator("canvas")).to_have_count(2)
    await album.take(page, "ops-history-of-job")
    await _goes(page, "#/workers")
    await page.locator("[data-worker] summary").first.click()
    await album.take(page, "ops-workers")
    await _goes(page, "#/schedules")
    await expect(page.get_by_role("row")).not_to_have_count(0)
    await album.take(page, "ops-schedules")
    await _goes(page, "#/users?q=demo")
    await page.locator("[data-user] a").first.click()
    await expect(page.get_by_role("region", name="Audit log").get_by_role("row")).not_to_have_count(0)
    await album.take(page, "ops-user")


async def _reference(browser: Browser, stack: Stack, album: Album) -> None:
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens("/docs")
        operation = page.locator("#operations-orders-place_order")
        await operation.wait_for()
        await page.set_viewport_size(WIDE)
        await album.take(page, "docs")
        await operation.locator(".opblock-summary-control").click()
        await operation.locator(".responses-table").wait_for()
        await album.take(page, "docs-operation")
        await page.get_by_role("button", name="Authorize").first.click()
        await page.locator(".auth-container").first.wait_for()
        await album.take(page, "docs-authorize")


async def _faults(browser: Browser, stack: Stack, album: Album) -> None:
    """Services that do not respond, a connection that is lost, and a session that has ended."""
    async with visiting(browser, stack) as visitor:
        page = await settled(await visitor.signs_in(demo.USER, password=demo.PASSWORD))
        with stack.frozen("orders"):
            await page.get_by_role("button", name="Pay order").first.click(no_wait_after=True)
            await shows(page, "orders", "stale")
            await album.take(page, "fault-stale")
        await visitor.context.set_offline(True)
        await expect(page.locator("#live")).not_to_have_attribute("data-state", "live")
        await album.take(page, "fault-offline")
        await visitor.context.set_offline(False)
    person = await asyncio.to_thread(Person, stack)
    async with visiting(browser, stack) as visitor:
        with stack.frozen("orders"):
            page = await visitor.signs_in(person.email, password=PASSWORD)
            await shows(page, "orders", "unavailable")
            await album.take(page, "fault-unavailable")
    person.http.close()


if __name__ == "__main__":
    main()
