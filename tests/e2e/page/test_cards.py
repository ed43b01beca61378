"""The other cards of the page: picture, imports, reports, webhooks."""

import asyncio
from io import BytesIO

import pytest
from PIL import Image
from playwright.async_api import Browser, FilePayload, expect

from tests.support.stack.browser import is_accessible, needs_browser, visiting
from tests.support.stack.running import Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]


@pytest.mark.firefox
@pytest.mark.full
async def test_a_picture_takes_the_place_of_the_initials(browser: Browser, stack: Stack, person: Person) -> None:
    """The picture is uploaded unchanged and shown on the account page, in the corner and on the dashboard. A text file
    that claims to be one is refused."""
    picture = BytesIO()
    Image.new("RGB", (300, 200), "teal").save(picture, "PNG")
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await page.get_by_role("link", name="Edit profile").click()
        chooser = page.get_by_label("Change picture")
        no_picture: FilePayload = {"name": "a.png", "mimeType": "image/png", "buffer": b"not a picture"}
        # A toast disappears by itself: start to wait for it before it can appear.
        await asyncio.gather(page.locator(".toast").wait_for(), chooser.set_input_files(no_picture))
        await expect(page.locator(".avatar.large img")).to_have_count(0)
        await chooser.set_input_files({"name": "b.png", "mimeType": "image/png", "buffer": picture.getvalue()})
        await expect(page.locator(".avatar.large img")).to_be_visible()
        await expect(page.locator("#account .avatar img")).to_be_visible()
        await page.get_by_role("link", name="Back to your dashboard").click()
        await expect(page.locator(".profile .avatar.large img")).to_be_visible()
        await page.evaluate("history.back()")
        await page.get_by_role("button", name="Remove picture").click()
        await expect(page.locator(".avatar.large")).to_have_text("AT")


@pytest.mark.full
async def test_a_file_is_imported_before_ones_eyes(browser: Browser, stack: Stack, person: Person) -> None:
    """Its progress, its errors and its orders appear without a reload."""
    head = "reference,currency,sku,name,quantity,unit_price,ordered_at"
    rows = [f"a-{number},EUR,tea,Green tea,1,{100 + number},2026-01-31T12:00:00Z" for number in range(40)]
    file = "\n".join([head, *rows, "a-40,EUR,tea,Green tea,none,1,2026-01-31T12:00:00Z", ""]).encode()
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await page.get_by_label("Import a file").set_input_files(
            {"name": "old.csv", "mimeType": "text/csv", "buffer": file}
        )
        imported = page.locator("[data-import]")
        await expect(imported).to_contain_text("completed")
        await expect(imported).to_contain_text("40 of 41 rows, 1 with errors")
        await expect(page.locator("tr[data-order]")).to_have_count(8)
        await imported.get_by_role("link", name="Errors").click()
        await expect(page.get_by_role("row").filter(has_text="a-40")).to_contain_text("must be a whole number")
        await is_accessible(page)
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Download all as CSV").click()
        path = await (await download.value).path()
        assert "quantity" in path.read_text()


@pytest.mark.full
async def test_a_report_is_downloaded(browser: Browser, stack: Stack, person: Person) -> None:
    """The chosen days are downloaded as a CSV file, with the order of today. They are the same days west of
    Greenwich."""
    order = person.order()
    async with visiting(browser, stack, timezone_id="America/New_York") as visitor:
        page = await visitor.at_home(person)
        await page.get_by_label("From").fill("2026-01-01")
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Download", exact=True).click()
        assert order["id"] in (await (await download.value).path()).read_text()
        again = page.get_by_role("button", name="Download Orders again")
        await expect(page.locator(".row", has=again)).to_contain_text("1 Jan 2026 to ")


@pytest.mark.firefox
@pytest.mark.full
async def test_a_webhook_is_added_changed_and_removed(browser: Browser, stack: Stack, person: Person) -> None:
    """A secret is shown once, a wrong address is reported at the field, a test is listed with its outcome, and a
    webhook that is off can be switched on again."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await page.get_by_role("button", name="Add a webhook").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Address").fill("nowhere")
        await dialog.get_by_role("button", name="Add").click()
        await expect(dialog.locator(".wrong")).to_be_visible()
        await is_accessible(page)
        await dialog.get_by_label("Address").fill("https://127.0.0.1:9/hooks")
        await dialog.get_by_role("button", name="Add").click()
        await expect(dialog.locator(".secret")).to_contain_text("whsec_")
        await dialog.get_by_role("button", name="I have kept it").click()
        hook = page.locator("[data-webhook]")
        await hook.get_by_role("button", name="Calls to").click()
        await expect(dialog).to_contain_text("Nothing has been sent yet.")
        await page.keyboard.press("Escape")
        await hook.get_by_role("button", name="Test").click()
        await expect(dialog).to_contain_text("webhook.ping")
        await page.keyboard.press("Escape")
        await hook.get_by_role("button", name="Edit").click()
        await dialog.get_by_label("Description").fill("The shop")
        await dialog.get_by_label("user.updated").check()
        await dialog.get_by_role("button", name="Save").click()
        await expect(hook).to_contain_text("The shop")
        await expect(hook).to_contain_text("user.updated")
        await hook.get_by_role("button", name="New secret").click()
        await dialog.get_by_role("button", name="Create it").click()
        await expect(dialog.locator(".secret")).to_contain_text("whsec_")
        await dialog.get_by_role("button", name="I have kept it").click()
        await hook.get_by_role("button", name="Switch off").click()
        await expect(hook).to_contain_text("You have switched it off.")
        await is_accessible(page)
        await hook.get_by_role("button", name="Switch on").click()
        await expect(hook.locator(".chip")).to_have_text("On")
        await page.get_by_role("button", name="Remove https://127.0.0.1:9/hooks").click()
        await dialog.get_by_role("button", name="Remove").click()
        await expect(page.get_by_text("No webhook yet.")).to_be_visible()
