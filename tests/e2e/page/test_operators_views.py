"""The operators' views of the last hour, the workers, the accounts and the audit log; changes of many jobs."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.stack.browser import is_accessible, needs_browser, visiting
from tests.support.stack.keyboard import never_lost_focus, press, watch_focus
from tests.support.stack.operators import Operator, bury, query
from tests.support.stack.running import Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]

WIDTH, HEIGHT = 360, 740
STATE = "SELECT state FROM jobs WHERE error_group = $1"
CUT_OFF = """() => [...document.querySelectorAll("main *:not(.hidden-text)")]
  .filter((each) => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).overflowX !== "visible")
  .map((each) => each.outerHTML.slice(0, 80))"""
TALL_TABLE = "(scroll) => scroll.scrollWidth <= scroll.clientWidth"


@pytest.fixture
async def group(stack: Stack) -> AsyncIterator[str]:
    """Provide an error group for one test, and delete it afterwards."""
    name = f"broken-{uuid4().hex[:12]}"
    yield name
    await asyncio.to_thread(query, stack, "worker", "DELETE FROM jobs WHERE error_group = $1", name)


async def fits(page: Page) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") == WIDTH


@pytest.mark.full
@pytest.mark.firefox
async def test_the_last_hour_and_the_workers(browser: Browser, stack: Stack, admin: Operator, person: Person) -> None:
    """A job that was done is soon in the hour of all jobs, and in its own with each minute. The running worker is
    listed with its queues."""
    person.order()
    async with visiting(browser, stack, width=WIDTH, height=HEIGHT) as visitor:
        page = await visitor.signs_in(admin.person.email, "/ops#/history")
        await page.get_by_role("region", name="By job").get_by_role("link", name="notifications", exact=True).click()
        minutes = page.get_by_role("region", name="By minute").get_by_role("row")
        await expect(minutes.nth(1)).to_contain_text("ms")
        await expect(page.locator("canvas")).to_have_count(2)
        await expect(page.get_by_role("link", name="notifications", exact=True)).to_have_attribute(
            "aria-current", "page"
        )
        await is_accessible(page)
        await fits(page)
        assert await page.get_by_role("group", name="By minute").evaluate(TALL_TABLE)

        await page.get_by_role("link", name="Workers", exact=True).click()
        row = page.locator("[data-worker]").filter(has_text="Alive")
        await expect(row).to_have_count(1)
        await row.locator("summary").click()
        await expect(row).to_contain_text("worker.notifications")
        await is_accessible(page)
        await fits(page)


@pytest.mark.full
@pytest.mark.firefox
async def test_an_administrator_helps_a_user(browser: Browser, stack: Stack, admin: Operator, person: Person) -> None:
    """The account is found by the beginning of its address. What is done with it is in its audit log, which can be
    filtered. Everything works with the keyboard."""
    async with visiting(browser, stack, width=WIDTH, height=HEIGHT) as visitor:
        page = await visitor.signs_in(admin.person.email, "/ops#/users")
        await page.get_by_label("Address or id").fill(person.email.rpartition("@")[0])
        await page.keyboard.press("Enter")
        row = page.locator("[data-user]")
        await expect(row).to_have_count(1)
        await expect(row).to_contain_text("Active")
        await is_accessible(page)
        await fits(page)
        await row.get_by_role("link").click()
        profile, audit = (page.get_by_role("region", name=name) for name in ("Profile", "Audit log"))
        await expect(audit).to_contain_text("signed_in")
        await is_accessible(page)
        await fits(page)
        await watch_focus(page)
        for action, told in (("Send a password reset", "on its way"), ("Suspend", "suspended"), ("Unsuspend", "again")):
            await press(profile.get_by_role("button", name=action, exact=True))
            await press(page.get_by_role("dialog").get_by_role("button", name=action.split()[0], exact=True))
            await expect(page.locator(".toast").last).to_contain_text(told)
        await expect(profile).to_contain_text("Active")
        await never_lost_focus(page)
        await expect(audit).to_contain_text("account_suspended")
        await page.get_by_role("link", name="All entries about this account").click()
        await expect(page.get_by_label("Subject")).to_have_value(person.id)
        await page.get_by_label("Action").fill("account_suspended")
        await page.keyboard.press("Enter")
        entry = page.locator("[data-entry]")
        await expect(entry).to_have_count(1)
        await expect(entry).to_contain_text("by you (admin)")
        await is_accessible(page)
        await fits(page)
    await asyncio.to_thread(lambda: stack.token(person.email))


@pytest.mark.full
@pytest.mark.firefox
async def test_all_jobs_of_a_search_are_changed(browser: Browser, stack: Stack, admin: Operator, group: str) -> None:
    """The number of jobs is shown before they are changed. Without a search, nothing is offered."""
    await asyncio.to_thread(bury, stack, group, 3)
    async with visiting(browser, stack, width=WIDTH, height=HEIGHT) as visitor:
        page = await visitor.signs_in(admin.person.email, "/ops#/jobs?state=dead")
        await expect(page.locator("[data-job]").first).to_be_visible()
        await expect(page.get_by_role("button", name="Discard all")).to_have_count(0)
        await page.evaluate(f"location.hash = '#/jobs?error_group={group}'")
        await expect(page.locator("[data-job]")).to_have_count(3)
        await page.get_by_role("button", name="Cancel all").click()
        await expect(page.locator(".toast")).to_contain_text("None of these jobs")
        await page.get_by_role("button", name="Discard all").click()
        dialog = page.get_by_role("dialog", name="Discard 3 jobs")
        await is_accessible(page)
        await fits(page)
        await dialog.get_by_label("Reason").fill("a test")
        await dialog.get_by_role("button", name="Discard").click()
        await expect(page.locator("[data-job]")).to_have_count(0)
        found = await asyncio.to_thread(query, stack, "worker", STATE, group)
        assert [row["state"] for row in found] == ["discarded"] * 3
        await page.evaluate(f"location.hash = '#/jobs?error_group={group}&state=discarded'")
        await page.get_by_role("button", name="Retry all").click()
        await page.get_by_role("dialog").get_by_role("button", name="Retry 3 jobs").click()
        await expect(page.locator(".toast").last).to_contain_text("3 jobs will be tried again now")


@pytest.mark.firefox
@pytest.mark.full
async def test_wall_mode(browser: Browser, stack: Stack, admin: Operator) -> None:
    """It has figures and nothing to press, and no text is cut off on any screen. A link that Tab shows leaves it."""
    async with visiting(browser, stack, width=WIDTH, height=HEIGHT) as visitor:
        page = await visitor.signs_in(admin.person.email, "/ops")
        await page.get_by_role("link", name="Wall mode").click()
        await expect(page.locator(".wall-figures .tile")).to_have_count(8)
        await expect(page.locator(".wall-chart canvas")).to_have_count(1)
        await expect(page.locator(".wall-time")).to_contain_text("As of")
        await expect(page.locator("button:visible, input:visible")).to_have_count(0)
        await is_accessible(page)
        for width, height in ((360, 740), (1920, 1080), (3840, 2160)):
            await page.set_viewport_size({"width": width, "height": height})
            assert await page.evaluate(CUT_OFF) == []
            assert await page.evaluate("document.documentElement.scrollWidth") == width
        leave = page.get_by_role("link", name="Leave wall mode")
        await leave.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="Wall mode")).to_be_visible()


@pytest.mark.firefox
@pytest.mark.full
async def test_support_reads_and_changes_nothing(browser: Browser, stack: Stack, person: Person, group: str) -> None:
    """Support sees the accounts and the jobs, without any action."""
    support = await asyncio.to_thread(Operator, stack, "support")
    await asyncio.to_thread(bury, stack, group)
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(support.person.email, f"/ops#/users/{person.id}")
        await expect(page.get_by_role("region", name="Audit log")).to_contain_text("signed_in")
        await expect(page.locator("#content button")).to_have_count(0)
        await page.evaluate(f"location.hash = '#/jobs?error_group={group}'")
        await expect(page.locator("[data-job]")).to_have_count(1)
        await expect(page.get_by_role("button", name="Discard all")).to_have_count(0)
