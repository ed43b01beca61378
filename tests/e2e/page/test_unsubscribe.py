"""The page behind the unsubscribe link of a mail, and what operators see of a mail that is not sent."""

import asyncio
import re
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Browser, expect

from tests.support.stack.browser import is_accessible, needs_browser, visiting
from tests.support.stack.operators import Operator, query
from tests.support.stack.running import PASSWORD, PATIENCE_S, Person, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, needs_browser]

FIND = "SELECT event_id FROM jobs WHERE user_id = $1 AND job = 'email' AND state = 'suppressed'"
REASON = "the recipient has switched off mails of the kind order_confirmation"


DARK = "rgb(14, 17, 21)"


@pytest.mark.full
async def test_one_click_ends_the_mails_of_a_kind(
    browser: Browser, stack: Stack, person: Person, admin: Operator
) -> None:
    """The page is styled and usable within its policy, and its button does what it says, without signing in. In
    `/ops` the next mail is suppressed, with the reason."""
    await asyncio.to_thread(person.order)
    await eventually(lambda: stack.mails(person.email), PATIENCE_S)
    [link] = re.findall(r"^<(.*)>$", str(stack.mails(person.email)[0].message["List-Unsubscribe"]))
    async with visiting(browser, stack, width=360, height=740) as visitor:
        page = await visitor.opens(link.removeprefix(stack.url))
        await expect(page.get_by_role("heading")).to_have_text("Unsubscribe from order confirmations?")
        await is_accessible(page)
        await page.emulate_media(color_scheme="dark")
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == DARK
        await is_accessible(page)
        await page.emulate_media(color_scheme="light")
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        button = page.get_by_role("button", name="Unsubscribe")
        await expect(button).to_have_css("background-color", "rgb(52, 84, 209)")
        await button.click()
        await expect(page.get_by_role("heading")).to_have_text("You are unsubscribed from order confirmations")
        await is_accessible(page)
        await page.get_by_role("link", name="Go to your dashboard").click()
        await expect(page.get_by_label("Password")).to_be_visible()
    await asyncio.to_thread(person.order)

    async def suppressed() -> list[Any]:
        return await asyncio.to_thread(query, stack, "worker", FIND, UUID(person.id))

    await eventually(suppressed, PATIENCE_S)
    [(event_id,)] = await suppressed()
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(admin.person.email, f"/ops#/jobs/email/{event_id}", PASSWORD)
        await expect(page.get_by_role("group", name="Reason")).to_have_text(REASON)
        attempts = page.get_by_role("region", name="Attempts")
        await expect(attempts).to_contain_text("Suppressed")
        await expect(attempts).to_contain_text(REASON)
        await expect(page.get_by_role("button", name="Retry now")).to_have_count(0)
