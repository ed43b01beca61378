"""The page of a gateway without accounts: people come with a token of another identity provider."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.gateway.issuers import now
from tests.support.gateway.other_services import Crm, crm_gateway
from tests.support.gateway.world import Start
from tests.support.stack.browser import Scheme, Visitor, is_accessible, needs_browser, shows, visiting
from tests.support.stack.keyboard import moves_focus, never_lost_focus, tab_reaches_everything, watch_focus

pytestmark = [pytest.mark.e2e, needs_browser]

POINTS = {"points": {"points": 7}}
HEADING = "Sign in with your identity provider"
STORED = "[Object.values(sessionStorage), Object.values(localStorage), document.cookie]"


async def is_home(page: Page, crm: Crm, path: str = "/") -> None:
    """Wait for the dashboard; assert that the token is no longer in the address."""
    await shows(page, "points", "fresh")
    assert page.url == crm.url + path


def watch_sessions(page: Page) -> list[str]:
    """Return the list of requests for sessions with cookies, from now on."""
    seen: list[str] = []
    page.context.on("request", lambda request: seen.append(request.url) if "/web/" in request.url else None)
    return seen


async def says(page: Page, text: str) -> None:
    await expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text(text)
    await expect(page.get_by_label("Access token")).to_be_focused()


@pytest.mark.full
async def test_a_token_in_the_address(browser: Browser, start: Start, tmp_path: Path) -> None:
    """It is removed from the address, kept for reloads of this tab only, and no session with cookies is asked for. The
    token's claims say who it is."""
    async with crm_gateway(start, tmp_path, POINTS) as crm, visiting(browser, crm) as visitor:
        token = crm.token()
        page = await visitor.opens(f"/#access_token={token}&token_type=Bearer&expires_in=300&state=x")
        sessions = watch_sessions(page)
        await is_home(page, crm)
        await expect(page.get_by_role("heading", level=1)).to_contain_text(", Ada")
        assert await page.evaluate(STORED) == [[token], [], ""]
        await page.reload()
        await is_home(page, crm)
        await page.get_by_role("button", name="Account").click()
        await expect(page.locator("#account-menu")).to_contain_text("Ada Lovelace")
        await expect(page.locator("#account-menu")).to_contain_text("ada@example.com")
        await expect(page.get_by_role("link", name="Operations")).to_have_count(0)
        other = await visitor.opens()
        await expect(other.get_by_role("heading", name=HEADING)).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
        await expect(page.get_by_role("alert")).to_have_count(0)
        assert await page.evaluate(STORED) == [[], [], ""]
        assert sessions == []


@pytest.mark.full
async def test_a_pasted_token(browser: Browser, start: Start, tmp_path: Path) -> None:
    """With the word before it and spaces around it. Something else is refused at the field."""
    async with crm_gateway(start, tmp_path, POINTS) as crm, visiting(browser, crm) as visitor:
        page = await visitor.opens()
        field = page.get_by_label("Access token")
        await expect(field).to_be_focused()
        for wrong in ("nonsense", "a.b.c", "a.bnVsbA.c"):  # the last one is null
            await field.fill(wrong)
            await page.keyboard.press("Enter")
            await expect(page.locator(".wrong")).to_contain_text("This is not an access token.")
        await field.fill("")
        await page.keyboard.press("Enter")
        await expect(page.locator(".wrong")).to_have_text("Fill in this field.")
        await field.fill(f"  Bearer {crm.token()} ")
        await page.keyboard.press("Enter")
        await is_home(page, crm)


@pytest.mark.full
@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": now(-600)}, "Your sign-in has expired."),
        ({"aud": "another application"}, "The server does not accept this token."),
    ],
)
async def test_a_token_that_the_gateway_refuses(
    browser: Browser, start: Start, tmp_path: Path, claims: dict[str, Any], words: str
) -> None:
    """The page returns to where it was, says why, and forgets the token."""
    async with crm_gateway(start, tmp_path, POINTS) as crm, visiting(browser, crm) as visitor:
        page = await visitor.opens(f"/#access_token={crm.token(**claims)}")
        await says(page, words)
        assert await page.evaluate(STORED) == [[], [], ""]
        await page.reload()
        await expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.full
@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ("access_token=rubbish", "contained no usable token"),
        ("access_token=", "contained no usable token"),
        ("error=access_denied&error_description=Call+0900", "did not sign you in"),
    ],
)
async def test_an_address_without_a_usable_token(
    browser: Browser, start: Start, tmp_path: Path, fragment: str, words: str
) -> None:
    """The page says so in its own words, and removes it from the address."""
    async with crm_gateway(start, tmp_path, POINTS) as crm, visiting(browser, crm) as visitor:
        page = await visitor.opens(f"/#{fragment}")
        await says(page, words)
        assert page.url == f"{crm.url}/"
        await expect(page.get_by_text("0900")).to_have_count(0)


@pytest.mark.full
async def test_a_token_that_expires_meanwhile(browser: Browser, start: Start, tmp_path: Path) -> None:
    """The stream ends with the token, and the page says why. A new token in the address continues."""
    async with crm_gateway(start, tmp_path, POINTS) as crm, visiting(browser, crm) as visitor:
        page = await visitor.opens(f"/#access_token={crm.token(exp=now(-28))}")  # 30 s of skew are allowed
        await says(page, "Your sign-in has expired.")
        await page.evaluate("(token) => { location.hash = `access_token=${token}` }", crm.token())
        await is_home(page, crm)


@pytest.mark.full
@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"name": None}, ["ada@example.com"]),
        ({"name": None, "email": None, "sub": "auth0|4711"}, ["auth0|4711"]),
        ({"email": None, "sub": "auth0|4712"}, ["Ada Lovelace", "auth0|4712"]),
        ({"name": None, "given_name": "Gräfin", "family_name": "Lovelace"}, ["Gräfin Lovelace"]),
        ({"name": {"first": "Ada"}, "email": 7, "sub": "x"}, ["7"]),
    ],
)
async def test_claims_of_other_providers(
    browser: Browser, start: Start, tmp_path: Path, claims: dict[str, Any], words: list[str]
) -> None:
    """The menu shows those that there are, whatever they look like."""
    async with crm_gateway(start, tmp_path, POINTS) as crm, visiting(browser, crm) as visitor:
        page = await visitor.opens(f"/#access_token={crm.token(**claims)}")
        await is_home(page, crm)
        await page.get_by_role("button", name="Account").click()
        for each in words:
            await expect(page.locator("#account-menu")).to_contain_text(each)


@pytest.mark.full
async def test_operations_by_the_same_token(browser: Browser, start: Start, tmp_path: Path) -> None:
    """The gateway knows who is an operator. Parts that need a worker are missing."""
    async with crm_gateway(start, tmp_path, POINTS) as crm, visiting(browser, crm) as visitor:
        page = await visitor.opens("/ops")
        sessions = watch_sessions(page)
        await expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
        page = await visitor.opens(f"/ops#access_token={crm.token(role='operator')}")
        await expect(page.get_by_role("heading", name="Operations")).to_be_visible()
        assert page.url == f"{crm.url}/ops"
        await expect(page.get_by_role("heading", name="Panels, last minute")).to_be_visible()
        await expect(page.get_by_role("cell", name="points")).to_be_visible()
        for missing in ("Jobs", "Queues", "Outboxes"):
            await expect(page.get_by_role("heading", name=missing)).to_have_count(0)
        await is_accessible(page)
        page = await visitor.opens(f"/ops#access_token={crm.token()}")
        await expect(page.get_by_role("heading", name="For operators only")).to_be_visible()
        assert sessions == []


@pytest.mark.full
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_way_in_fits_and_is_accessible(
    browser: Browser, start: Start, tmp_path: Path, scheme: Scheme
) -> None:
    """With everything open and an error, at 360 pixels, by keyboard."""
    async with (
        crm_gateway(start, tmp_path, POINTS) as crm,
        visiting(browser, crm, width=360, height=740, scheme=scheme) as visitor,
    ):
        page = await opens_the_form(visitor)
        await watch_focus(page)
        await tab_reaches_everything(page)
        button = page.get_by_role("button", name="Continue")
        await moves_focus(button, page.get_by_label("Access token"))
        await page.get_by_text("For applications that link here").click()
        await expect(page.get_by_text(f"{crm.url}/#access_token=TOKEN")).to_be_visible()
        await is_accessible(page)
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        await never_lost_focus(page)


async def opens_the_form(visitor: Visitor) -> Page:
    page = await visitor.opens("/#access_token=rubbish")
    await expect(page.get_by_role("alert")).to_be_visible()
    return page
