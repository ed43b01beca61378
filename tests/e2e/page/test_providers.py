"""Signing in on the page with a real OpenID provider."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.backends.databases import NewDatabase
from tests.support.gateway.with_providers import SignInSite, sign_in_site
from tests.support.gateway.world import Start
from tests.support.stack.browser import Visitor, is_accessible, needs_browser, visiting
from tests.support.users import PASSWORD

pytestmark = [pytest.mark.e2e, needs_browser]


async def goes_to_provider(visitor: Visitor) -> Page:
    page = await visitor.opens()
    await page.get_by_role("button", name="Sign in with Example").click()
    await page.wait_for_url("**/oauth2/authorize**")
    return page


async def signs_in(visitor: Visitor, subject: str) -> Page:
    page = await goes_to_provider(visitor)
    await page.get_by_placeholder("sub").fill(subject)
    await page.get_by_role("button", name="Authorize", exact=True).click()
    return page


async def has_a_stranger_signed_in(browser: Browser, site: SignInSite) -> None:
    subject = await site.newcomer()
    async with visiting(browser, site) as visitor:
        page = await signs_in(visitor, subject)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Grace")
        assert page.url == f"{site.url}/"
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Grace")
        stored = "[Object.values(localStorage), Object.values(sessionStorage), document.cookie]"
        assert await page.evaluate(stored) == [[], [], ""]


async def has_an_account_been_linked(browser: Browser, site: SignInSite) -> None:
    owner = await site.users.verified(await site.users.register("Olga Owner"))
    subject = await site.newcomer(email=owner.email)
    async with visiting(browser, site) as visitor:
        page = await signs_in(visitor, subject)
        await expect(page.get_by_role("heading", name="You have an account already")).to_be_visible()
        assert "ticket" not in page.url
        await is_accessible(page)
        for password in ("not this one", PASSWORD):
            await page.get_by_label("Password").fill(password)
            await page.get_by_role("button", name="Link and sign in").click()
            if password != PASSWORD:
                await expect(page.locator(".wrong")).to_be_visible()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Olga")
    async with visiting(browser, site) as visitor:
        page = await signs_in(visitor, subject)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Olga")


async def has_a_refusal_been_told(browser: Browser, site: SignInSite) -> None:
    async with visiting(browser, site) as visitor:
        page = await goes_to_provider(visitor)
        await page.get_by_role("button", name="Deny").click()
        await expect(page.get_by_role("alert")).to_contain_text("cancelled or refused there")
        await is_accessible(page)
        await page.reload()
        await expect(page.get_by_role("button", name="Sign in with Example")).to_be_visible()
        await expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.full
async def test_people_sign_in_with_a_provider(
    browser: Browser, start: Start, new_database: NewDatabase, tmp_path: Path
) -> None:
    """A stranger gets an account. Who has one already links it with their password, once. A refusal is explained."""
    async with sign_in_site(start, new_database("users"), tmp_path) as site:
        await has_a_stranger_signed_in(browser, site)
        await has_an_account_been_linked(browser, site)
        await has_a_refusal_been_told(browser, site)
