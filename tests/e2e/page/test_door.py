"""Sign-in and sign-out on the page: accounts, sessions, and the data in the browser."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.support.stack.browser import Visitor, fill_order, needs_browser, shows, visiting
from tests.support.stack.running import PASSWORD, PATIENCE_S, Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]


@pytest.mark.firefox
async def test_somebody_registers_and_looks_around(browser: Browser, stack: Stack) -> None:
    """An account is created, its empty dashboard shown and its name changed. A reload keeps the session."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        await page.get_by_role("button", name="Create account").first.click()
        await page.get_by_label("Name").fill("Grace Hopper")
        await page.get_by_label("E-mail").fill(f"{uuid4().hex}@example.com")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.locator("form").get_by_role("button", name="Create account").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Grace")
        await expect(page.get_by_text("No orders yet.")).to_be_visible()
        await page.get_by_role("link", name="Edit profile").click()
        await page.get_by_label("Name").fill("Grace Brewster Hopper")
        await page.get_by_role("button", name="Save the name").click()
        await page.get_by_role("link", name="Back to your dashboard").click()
        await expect(page.locator(".profile .name")).to_have_text("Grace Brewster Hopper")
        await page.reload()
        await expect(page.locator(".profile .name")).to_have_text("Grace Brewster Hopper")
        stored = await page.evaluate(
            "JSON.stringify([Object.values(localStorage), Object.values(sessionStorage), document.cookie])"
        )
        assert stored == '[[],[],""]'


@pytest.mark.full
async def test_what_is_refused_is_said_at_its_field(browser: Browser, stack: Stack, person: Person) -> None:
    """A wrong password, a taken address and an invalid price each have their message."""
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
        await fill_order(page, "Green tea", "12.345")
        await page.get_by_role("button", name="Place order").click()
        await expect(page.get_by_text("Enter an amount such as 12.50.")).to_be_visible()


@pytest.mark.full
@pytest.mark.firefox
async def test_signing_out_closes_every_tab(browser: Browser, stack: Stack, person: Person) -> None:
    """All tabs show the sign-in form, the other tab says why, and it stays after a reload."""
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


@pytest.mark.full
@pytest.mark.firefox
async def test_an_ended_session_asks_to_sign_in_again(browser: Browser, stack: Stack, person: Person) -> None:
    """If the account has been deleted, the page returns to the sign-in form by itself, and says so."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        assert person.http.request("DELETE", "/v1/me", json={"current_password": PASSWORD}).status_code == 204
        await expect(page.get_by_role("alert")).to_contain_text("session has ended")


@pytest.mark.firefox
@pytest.mark.full
async def test_the_theme_is_kept(browser: Browser, stack: Stack) -> None:
    """The chosen theme is active after a reload, from the first frame."""
    async with visiting(browser, stack, scheme="light") as visitor:
        page = await visitor.opens()
        await page.get_by_role("button", name="Theme: system").click()
        await page.get_by_role("button", name="Theme: light").click()
        await page.reload()
        await expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 21)"


async def cookie_of(visitor: Visitor) -> dict[str, str]:
    """Return the page's cookie by name."""
    cookies: Any = await visitor.context.cookies(f"{visitor.stack.url}/web/session")
    return {cookie["name"]: cookie["value"] for cookie in cookies}


def still_renews(stack: Stack, cookie: dict[str, str]) -> bool:
    answer = httpx.post(f"{stack.url}/web/session/refresh", json={}, cookies=cookie, timeout=PATIENCE_S)
    return answer.status_code == 200


async def signs_out(page: Page) -> None:
    await page.get_by_role("button", name="Account").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Password")).to_be_visible()


@pytest.mark.full
async def test_a_sign_out_without_a_connection_is_made_up_for(browser: Browser, stack: Stack, person: Person) -> None:
    """The page reports it, and the session ends once the connection is back."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        cookie = await cookie_of(visitor)
        await visitor.context.set_offline(True)
        await signs_out(page)
        await expect(page.get_by_role("alert")).to_contain_text("ends as soon as the connection is back")
        await visitor.context.set_offline(False)
        await expect(page.get_by_role("alert")).to_have_count(0)
        assert not still_renews(stack, cookie)
        assert await cookie_of(visitor) == {}
        assert await page.evaluate("localStorage.length") == 0


@pytest.mark.firefox
@pytest.mark.full
async def test_a_sign_out_that_the_server_did_not_hear_survives_a_reload(
    browser: Browser, stack: Stack, person: Person
) -> None:
    """A reload does not sign in again with the remaining cookie."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        cookie = await cookie_of(visitor)

        async def fail(route: Route) -> None:
            if route.request.method == "DELETE":
                await route.fulfill(status=503)
            else:
                await route.continue_()

        await visitor.context.route("**/web/session", fail)
        await signs_out(page)
        await page.reload()
        await expect(page.get_by_role("alert")).to_contain_text("ends as soon as the connection is back")
        await visitor.context.unroute("**/web/session", fail)
        await page.reload()
        await expect(page.get_by_label("Password")).to_be_visible()
        await expect(page.get_by_role("alert")).to_have_count(0)
        assert not still_renews(stack, cookie)


RENEW = """async () => {
  const main = document.querySelector("script[type=module]").src;
  const session = await import(new URL("session.js", main));
  return session.renew(session.accessToken());
}"""


@pytest.mark.firefox
@pytest.mark.full
async def test_tabs_without_locks_stay_signed_in(browser: Browser, stack: Stack, person: Person) -> None:
    """On plain HTTP browsers have no Web Locks. Tabs that renew their session at the same moment all stay signed in."""
    async with visiting(browser, stack) as visitor:
        await visitor.context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
        tabs = [await visitor.at_home(person), await visitor.opens(), await visitor.opens()]
        for tab in tabs:
            await tab.locator(".account:not([hidden])").wait_for()
        for _ in range(4):
            assert await asyncio.gather(*(tab.evaluate(RENEW) for tab in tabs)) == [True] * 3
        for tab in tabs:
            await expect(tab.locator(".account:not([hidden])")).to_be_visible()
