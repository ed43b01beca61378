"""Addresses of views, as the page's router reads them."""

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.support.stack.browser import needs_browser, visiting
from tests.support.stack.running import Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]

ASK = """async (hashes) => {
  const main = document.querySelector("script[type=module]").src;
  const { route, find, withoutToken } = await import(new URL("router.js", main));
  route("/tests/{id}/of/{name}", { title: "A test", access: "anyone", open() {} });
  const view = (found) => found && [found.view.title, found.params, found.query.get("q")];
  return hashes.map((hash) => [view(find(hash)), [withoutToken(hash).hash, withoutToken(hash).token]]);
}"""


@pytest.mark.firefox
async def test_addresses_are_read(browser: Browser, stack: Stack) -> None:
    """A token is split off an address of a view, and only there. Parts of an address have their names."""
    split = {
        "#/verify?token=a_b-c": ["#/verify", "a_b-c"],
        "#/verify?x=1&token=abc": ["#/verify?x=1", "abc"],
        "#/verify?token=": ["#/verify", ""],
        "#/verify": ["#/verify", None],
        "#access_token=abc": ["#access_token=abc", None],
        "": ["", None],
    }
    found: dict[str, Any] = {
        "#/tests/a-1/of/b_2": ["A test", {"id": "a-1", "name": "b_2"}, None],
        "#tests/a/of/b?q=1": ["A test", {"id": "a", "name": "b"}, "1"],
        "#/tests/a/of/": None,
        "#/tests/a/of/b/c": None,
        "": [None, {}, None],
        "#/": [None, {}, None],
        "#/sign-in": ["Sign in", {}, None],
    }
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        await expect(page.get_by_label("Password")).to_be_visible()
        assert [rest for _, rest in await page.evaluate(ASK, list(split))] == list(split.values())
        assert [view for view, _ in await page.evaluate(ASK, list(found))] == list(found.values())


@pytest.mark.full
@pytest.mark.firefox
async def test_a_view_waits_for_the_sign_in(browser: Browser, stack: Stack, person: Person) -> None:
    """Who is not signed in, signs in first and is then where they wanted to be. Views for others lead to the dashboard,
    and an unknown address is the dashboard. The skip link changes no address."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens("/#/account")
        await expect(page).to_have_title("Sign in · Dashboard")
        page = await visitor.signs_in(person.email, "/#/account")
        await expect(page).to_have_title("Your account · Dashboard")
        await page.get_by_role("link", name="Skip to content").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#content")).to_be_focused()
        assert page.url == f"{stack.url}/#/account"
        for address in ("#/sign-in", "#/nowhere"):
            await page.goto(f"{stack.url}/{address}")
            await expect(page.get_by_role("link", name="Edit profile")).to_be_visible()
        await page.get_by_role("button", name="Account", exact=True).click()
        await page.get_by_role("link", name="Your account", exact=True).click()
        await page.get_by_role("button", name="Account", exact=True).click()
        await page.get_by_role("button", name="Sign out", exact=True).click()
        await expect(page).to_have_title("Sign in · Dashboard")
        assert page.url == f"{stack.url}/"
