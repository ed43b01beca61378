"""The account on the page: registration to deletion, with the links of mails, each flow by mouse."""

import asyncio
from uuid import uuid4

import pytest
from playwright.async_api import Browser, expect

from tests.support.stack.browser import needs_browser, visiting
from tests.support.stack.running import PASSWORD, Stack

pytestmark = [pytest.mark.e2e, needs_browser]


async def link_to(stack: Stack, email: str) -> str:
    """Return the newest link to an address, without the origin."""
    token = await asyncio.to_thread(stack.token, email)
    return next(
        link.removeprefix(stack.url)
        for mail in reversed(stack.mailbox.mails(email))
        for link in mail.links()
        if link.endswith(token)
    )


async def test_an_address_is_confirmed_from_the_mail(browser: Browser, stack: Stack) -> None:
    """A new account is told to confirm its address. Opening the link changes nothing; its button does."""
    email = f"{uuid4().hex}@example.com"
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens("/#/register")
        await expect(page).to_have_title("Create account · Dashboard")
        await page.get_by_label("Name").fill("Grace Hopper")
        await page.get_by_label("E-mail").fill(email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.locator("form").get_by_role("button", name="Create account").click()
        banner = page.get_by_role("region", name="Your address is not confirmed")
        await expect(banner).to_contain_text(email)
        link = await link_to(stack, email)
        assert link.startswith("/#/verify?token=")
        await page.goto(stack.url + link)
        await expect(page.get_by_role("heading", name="Confirm your address")).to_be_focused()
        assert page.url == f"{stack.url}/#/verify"
        await page.get_by_role("button", name="Confirm this address").click()
        await expect(page.get_by_text(f"{email} has been confirmed.")).to_be_visible()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Grace")
        await expect(banner).to_have_count(0)
