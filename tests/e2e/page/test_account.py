"""The account on the page: from registration to deletion, with the links of mails."""

import asyncio
from io import BytesIO
from typing import Literal
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from tests.support.stack.browser import Visitor, needs_browser, shows, visiting
from tests.support.stack.operators import query
from tests.support.stack.running import NO_TLS, PASSWORD, PATIENCE_S, Person, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, needs_browser]

NAMES = {"chromium": "Chrome", "firefox": "Firefox"}
"""How a session names the browser."""
NEW = "a new horse battery"
NOT_VALID = "The link is not valid any more: it has been used, or it has expired."


async def link_to(stack: Stack, email: str, view: Literal["verify", "reset"]) -> str:
    """Return the newest link for that view in the mails to an address, without the origin."""
    found: list[str] = []

    async def arrived() -> bool:
        links = [link for mail in stack.mailbox.mails(email) for link in mail.links() if f"/#/{view}?" in link]
        found[:] = links[-1:]
        return bool(found)

    await eventually(arrived, PATIENCE_S)
    return found[0].removeprefix(stack.url)


async def request_reset(stack: Stack, email: str) -> str:
    """Request a reset, and return its link."""
    async with httpx.AsyncClient(base_url=stack.url, timeout=PATIENCE_S, verify=NO_TLS) as http:
        (await http.post("/v1/password-resets", json={"email": email})).raise_for_status()
    return await link_to(stack, email, "reset")


async def account_of(visitor: Visitor, person: Person) -> Page:
    page = await visitor.signs_in(person.email, "/#/account")
    await expect(page.get_by_role("heading", name="Your account", level=1)).to_be_visible()
    return page


def section(page: Page, name: str) -> Locator:
    return page.locator(f'[data-section="{name}"]')


async def sets_password(page: Page, password: str) -> None:
    await page.get_by_label("New password").fill(password)
    await page.get_by_role("button", name="Set the password").click()


@pytest.mark.full
@pytest.mark.firefox
async def test_an_address_is_confirmed_from_the_mail(browser: Browser, stack: Stack) -> None:
    """The page asks a new account to confirm its address. Opening the link changes nothing; its button does."""
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
        await banner.get_by_role("button", name="Send it again").click()
        await expect(page.locator(".toast")).to_contain_text(f"The link has been sent again to {email}.")
        link = await link_to(stack, email, "verify")
        for _ in range(2):
            await page.goto(stack.url + link)
            await expect(page.get_by_role("heading", name="Confirm your address")).to_be_visible()
            assert page.url == f"{stack.url}/#/verify"
        await page.get_by_role("button", name="Confirm this address").click()
        await expect(page.get_by_text(f"{email} has been confirmed.")).to_be_visible()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Grace")
        await expect(banner).to_have_count(0)


@pytest.mark.full
@pytest.mark.firefox
async def test_a_forgotten_password_is_replaced(browser: Browser, stack: Stack, person: Person) -> None:
    """The answer is the same for every address. The link sets a password once; then the page says what to do."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        for email in (f"{uuid4().hex}@example.com", person.email):
            await page.get_by_role("link", name="Forgot password?").click()
            await expect(page).to_have_title("Forgot password · Dashboard")
            await page.get_by_label("E-mail").fill(email)
            await page.get_by_role("button", name="Send the link").click()
            await expect(page.get_by_role("status").filter(has_text="mail with a link")).to_have_text(
                f"If there is an account with the address {email}, a mail with a link is on its way. "
                "The link is valid for an hour."
            )
            await page.get_by_role("link", name="Go to the sign-in").click()
        link = await link_to(stack, person.email, "reset")
        await page.goto(stack.url + link)
        await sets_password(page, "password1")
        await expect(page.locator(".wrong")).to_contain_text("too easy to guess")
        await sets_password(page, NEW)
        await expect(page.get_by_text("Your password has been changed. Sign in with the new one.")).to_be_visible()
        assert page.url == f"{stack.url}/#/sign-in"
        await page.get_by_label("E-mail").fill(person.email)
        await page.get_by_label("Password").fill(NEW)
        await page.keyboard.press("Enter")
        await shows(page, "user", "fresh")
        await page.goto(stack.url + link)
        await sets_password(page, NEW)
        await expect(page.get_by_role("alert")).to_have_text(NOT_VALID)
        await expect(page.get_by_role("link", name="Send me a new link")).to_be_visible()


@pytest.mark.full
@pytest.mark.firefox
async def test_links_that_are_not_valid(browser: Browser, stack: Stack, person: Person) -> None:
    """An expired link, a link for another purpose and no link at all each leave everything as it is, and say so."""
    verify = await link_to(stack, person.email, "verify")
    reset = await request_reset(stack, person.email)
    token = reset.rpartition("=")[2]
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens(f"/#/verify?token={token}")
        await page.get_by_role("button", name="Confirm this address").click()
        await expect(page.get_by_role("alert")).to_have_text(NOT_VALID)
        expire = "UPDATE mail_tokens SET expires_at = now() - interval '1 second' WHERE user_id = $1"
        await asyncio.to_thread(query, stack, "users", expire, UUID(person.id))
        for link in (reset, f"/#/reset?token={verify.rpartition('=')[2]}", "/#/reset?token=nonsense"):
            await page.goto(stack.url + link)
            await sets_password(page, NEW)
            await expect(page.get_by_role("alert")).to_have_text(NOT_VALID)
        await page.reload()
        await expect(page.get_by_text("Open the link in the mail again.")).to_be_visible()
        await visitor.signs_in(person.email)


@pytest.mark.full
@pytest.mark.firefox
async def test_links_while_another_person_is_signed_in(browser: Browser, stack: Stack, person: Person) -> None:
    """The link is used for its own account. The session of the other person goes on, and the page says whose it is."""
    other = await asyncio.to_thread(Person, stack, "Other Person")
    email = f"{uuid4().hex}@example.com"
    await asyncio.to_thread(other.http.patch, "/v1/me", json={"email": email, "current_password": PASSWORD})
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await page.goto(stack.url + await link_to(stack, email, "verify"))
        await page.get_by_role("button", name="Confirm this address").click()
        await expect(page.get_by_role("status").filter(has_text="another account")).to_contain_text(person.email)
        assert other.http.get("/v1/me").json()["email"] == email
        await page.goto(stack.url + await request_reset(stack, email))
        await expect(page.get_by_text(f"You are signed in as {person.email}.")).to_be_visible()
        await sets_password(page, NEW)
        await expect(page.get_by_role("status").filter(has_text="you are still signed in")).to_be_visible()
        await page.get_by_role("link", name="Go to your dashboard").click()
        await shows(page, "user", "fresh")
        assert other.http.get("/v1/me").status_code == 401
    other.http.close()


@pytest.mark.full
@pytest.mark.firefox
async def test_the_profile_is_changed(browser: Browser, stack: Stack, person: Person) -> None:
    """A name can be undone, a new address waits for its confirmation and can be withdrawn, a picture is shown."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await page.get_by_role("link", name="Edit profile").click()
        await expect(page).to_have_title("Your account · Dashboard")
        await expect(page.get_by_role("heading", name="Your account", level=1)).to_be_focused()
        profile = section(page, "profile")
        await profile.get_by_label("Name").fill("Ann Newton")
        await profile.get_by_role("button", name="Save the name").click()
        await expect(page.locator(".toast")).to_contain_text("Your name has been changed.")
        await page.get_by_role("button", name="Undo").click()
        await expect(profile.get_by_label("Name")).to_have_value("Ann Tester")
        picture = BytesIO()
        Image.new("RGB", (30, 20), "teal").save(picture, "PNG")
        file: FilePayload = {"name": "b.png", "mimeType": "image/png", "buffer": picture.getvalue()}
        await profile.get_by_label("Change picture").set_input_files(file)
        await expect(profile.locator(".avatar.large img")).to_be_visible()
        await profile.get_by_role("button", name="Remove picture").click()
        await expect(profile.locator(".avatar.large img")).to_have_count(0)
        email = f"{uuid4().hex}@example.com"
        await profile.get_by_text("Use another address").click()
        await profile.get_by_label("New e-mail address").fill(email)
        await profile.get_by_label("Current password").fill("not this one")
        await profile.get_by_role("button", name="Change the address").click()
        await expect(profile.locator(".wrong")).to_have_text("This is not your current password.")
        await profile.get_by_label("Current password").fill(PASSWORD)
        await profile.get_by_role("button", name="Change the address").click()
        await expect(profile.locator(".waiting-address")).to_contain_text(email)
        await profile.get_by_role("button", name="Keep the present address").click()
        await expect(profile.locator(".waiting-address")).to_have_count(0)
        await page.evaluate("history.back()")
        await shows(page, "user", "fresh")
        await expect(page.get_by_role("heading", level=1)).to_be_focused()
        await expect(page.locator(".profile .name")).to_have_text("Ann Tester")


@pytest.mark.full
@pytest.mark.firefox
async def test_passwords_and_sessions(browser: Browser, stack: Stack, person: Person) -> None:
    """Each place is listed and can be signed out alone or with all others; a new password does that as well."""
    async with visiting(browser, stack) as here, visiting(browser, stack) as there:
        elsewhere = await there.signs_in(person.email)
        page = await account_of(here, person)
        sessions = section(page, "sessions")
        await expect(sessions.locator("[data-session]")).to_have_count(3)
        current = sessions.locator("[data-session]", has_text="This one")
        await expect(current).to_contain_text(NAMES[browser.browser_type.name])
        await sessions.get_by_role("button", name="Sign out ").filter(has_text="Sign out").first.click()
        await expect(sessions.locator("[data-session]")).to_have_count(2)
        await sessions.get_by_role("button", name="Sign out everywhere else").click()
        await page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere else").click()
        await expect(sessions.locator("[data-session]")).to_have_count(1)
        await expect(elsewhere.get_by_role("alert")).to_contain_text("session has ended")
        assert person.http.get("/v1/me").status_code == 401
        await there.signs_in(person.email)
        password = section(page, "password")
        await password.get_by_label("Current password").fill(PASSWORD)
        await password.get_by_label("New password").fill(NEW)
        await password.get_by_role("button", name="Change the password").click()
        await expect(page.locator(".toast").last).to_contain_text("Your password has been changed.")
        await expect(sessions.locator("[data-session]")).to_have_count(1)


@pytest.mark.full
@pytest.mark.firefox
async def test_an_api_key_is_created_used_and_deleted(browser: Browser, stack: Stack, person: Person) -> None:
    """The key is shown once and can be copied. A deleted key is refused."""
    async with visiting(browser, stack, permissions=["clipboard-read", "clipboard-write"]) as visitor:
        page = await account_of(visitor, person)
        keys = section(page, "api-keys")
        await keys.get_by_role("button", name="Create a key").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Name").fill("nightly report")
        await dialog.get_by_label("Expires").select_option("In a year")
        await dialog.get_by_label("Current password").fill(PASSWORD)
        await dialog.get_by_role("button", name="Create").click()
        shown = await page.get_by_role("dialog", name="The key nightly report").locator(".secret").inner_text()
        await page.get_by_role("button", name="Copy").click()
        await expect(page.locator("dialog .toast")).to_contain_text("Copied.")
        assert await page.evaluate("navigator.clipboard.readText()") == shown
        await page.get_by_role("button", name="I have kept it").click()
        row = keys.locator("[data-api-key]")
        await expect(row).to_contain_text("never used")
        assert shown not in await page.content()
        headers = {"Authorization": f"Bearer {shown}"}
        async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=PATIENCE_S, verify=NO_TLS) as http:
            assert (await http.get("/v1/me")).json()["email"] == person.email
            await row.get_by_role("button", name="Delete").click()
            await page.get_by_role("dialog").get_by_role("button", name="Delete the key").click()
            await expect(keys).to_contain_text("No API key yet.")
            assert (await http.get("/v1/me")).status_code == 401


@pytest.mark.full
@pytest.mark.firefox
async def test_mails_are_switched_off_and_on(browser: Browser, stack: Stack, person: Person) -> None:
    """Each kind of mails has a switch, which takes effect at once and is kept."""
    async with visiting(browser, stack) as visitor:
        page = await account_of(visitor, person)
        digest = page.get_by_role("switch", name="Weekly digest")
        await digest.click()
        await expect(page.locator(".toast").last).to_contain_text("Weekly digest: sent by mail from now on.")
        await page.get_by_role("switch", name="Order confirmations").click()
        await expect(page.locator(".toast").last).to_contain_text("Order confirmations: not sent any more.")
        await page.reload()
        await expect(digest).to_be_checked()
        await expect(page.get_by_role("switch", name="Order confirmations")).not_to_be_checked()
        stored = person.http.get("/v1/me/notification-settings").json()
        assert stored["weekly_digest"] is True
        assert stored["kinds"]["order_confirmation"] == {"mail": False}


@pytest.mark.full
async def test_all_data_is_downloaded_and_the_account_deleted(browser: Browser, stack: Stack, person: Person) -> None:
    """Both need the password. The deletion ends the session."""
    async with visiting(browser, stack) as visitor:
        page = await account_of(visitor, person)
        export = section(page, "export")
        await export.get_by_label("Current password").fill(PASSWORD)
        async with page.expect_download() as started:
            await export.get_by_role("button", name="Download my data").click()
        path = await (await started.value).path()
        assert person.email in path.read_text()
        await section(page, "deletion").get_by_role("button", name="Delete my account").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Current password").fill("not this one")
        await dialog.get_by_role("button", name="Delete my account").click()
        await expect(dialog.locator(".wrong")).to_have_text("This is not your current password.")
        await dialog.get_by_label("Current password").fill(PASSWORD)
        await dialog.get_by_role("button", name="Delete my account").click()
        await expect(page.get_by_text("Your account has been deleted.")).to_be_visible()
        await expect(page.get_by_role("heading", name="Everything at a glance")).to_be_visible()
        await expect(page.get_by_role("alert")).to_be_hidden()
        form = {"username": person.email, "password": PASSWORD}
        assert person.http.post("/v1/tokens", data=form).status_code == 401
