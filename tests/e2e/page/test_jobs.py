"""The operators' views of jobs and schedules."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, Route, expect

from shared.clock import now, rfc3339
from tests.support.stack.browser import is_accessible, needs_browser, visiting
from tests.support.stack.operators import Operator, bury, query
from tests.support.stack.running import Stack

pytestmark = [pytest.mark.e2e, needs_browser]

WIDTH, HEIGHT = 360, 740
RETRY_LATER = """
    UPDATE jobs SET state = 'retrying', next_attempt_at = now() + interval '3 days' WHERE user_id = $1 AND job = $2
"""
JOB = "notifications"


@pytest.fixture
async def support(stack: Stack) -> Operator:
    return await asyncio.to_thread(Operator, stack, "support")


@pytest.fixture
async def group(stack: Stack) -> AsyncIterator[str]:
    """Provide an error group for one test. Afterwards its jobs are deleted, and no job is paused."""
    name = f"broken-{uuid4().hex[:12]}"
    yield name
    await asyncio.to_thread(query, stack, "worker", "DELETE FROM jobs WHERE error_group = $1", name)
    await asyncio.to_thread(query, stack, "worker", "DELETE FROM paused_jobs")


async def fits(page: Page) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") == WIDTH


async def confirm(page: Page, action: str) -> None:
    await page.get_by_role("dialog").get_by_role("button", name=action).click()


async def one_at_a_time(route: Route) -> None:
    """Request pages with one job."""
    await route.continue_(url=re.sub(r"\blimit=\d+", "limit=1", route.request.url))


@pytest.mark.full
async def test_an_administrator_finds_a_job_and_runs_it(
    browser: Browser, stack: Stack, admin: Operator, group: str
) -> None:
    """The search is part of the address. The job's page offers what the job's state allows, and explains refusals."""
    found, _ = users = await asyncio.to_thread(bury, stack, group, 2)
    await asyncio.to_thread(query, stack, "worker", RETRY_LATER, found, JOB)
    async with visiting(browser, stack, width=WIDTH, height=HEIGHT) as visitor:
        page = await visitor.signs_in(admin.person.email, "/ops#/jobs")
        await page.get_by_label("User id").fill("nobody")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Enter the complete id of a user.")).to_be_visible()
        await page.get_by_label("User id").fill(str(found))
        await page.get_by_label("State").select_option("Retrying")
        await page.keyboard.press("Enter")
        row = page.locator("[data-job]")
        await expect(row).to_have_count(1)
        await expect(row).to_contain_text("next in 3 days")
        await is_accessible(page)
        await fits(page)
        other_tab = await visitor.opens("/ops" + urlsplit(page.url)._replace(scheme="", netloc="", path="").geturl())
        await expect(other_tab.get_by_label("User id")).to_have_value(str(found))
        await expect(other_tab.locator("[data-job]")).to_have_count(1)
        await other_tab.get_by_label("State").select_option("Any")
        await other_tab.get_by_label("User id").fill("")
        await other_tab.get_by_label("Text").fill(str(users[1]))
        await other_tab.keyboard.press("Enter")
        await expect(other_tab.locator("[data-job]")).to_contain_text("Dead")
        await other_tab.route("**/v1/admin/jobs?*", one_at_a_time)
        await other_tab.evaluate(f"location.hash = '#/jobs?error_group={group}'")
        await expect(other_tab.get_by_text("The latest 1 job.")).to_be_visible()
        await other_tab.get_by_role("button", name="Show more").click()
        await expect(other_tab.locator("[data-job]")).to_have_count(2)
        await expect(other_tab.locator("[data-job] a").last).to_be_focused()
        await expect(other_tab.get_by_role("button", name="Show more")).to_have_count(0)
        await other_tab.close()

        await row.get_by_role("link").click()
        details = page.get_by_role("region", name="Details")
        await expect(details).to_contain_text("Retrying")
        await expect(page.get_by_role("region", name="Message")).to_contain_text(str(found))
        await expect(page.get_by_role("heading", name=JOB)).to_be_focused()
        await is_accessible(page)
        await fits(page)

        async def refuse(route: Route) -> None:
            body = json.dumps({"status": 409, "code": "job_running", "title": "Machine"})
            await route.fulfill(status=409, headers={"Content-Type": "application/problem+json"}, body=body)

        await page.route("**/cancel", refuse, times=1)
        await details.get_by_role("button", name="Cancel").click()
        await confirm(page, "Cancel the job")
        await expect(page.locator(".toast")).to_contain_text("Wait until the attempt has ended")
        await details.get_by_role("button", name="Cancel").click()
        await confirm(page, "Cancel the job")
        await expect(details).to_contain_text("Cancelled")
        await expect(details.get_by_role("button", name="Cancel")).to_have_count(0)
        await details.get_by_role("button", name="Retry now").click()
        await confirm(page, "Retry now")
        await expect(details).to_contain_text("Done")
        await expect(details.get_by_role("button")).to_have_count(0)
        await expect(page.get_by_role("region", name="Attempts")).to_contain_text("Done")
        await expect(page.get_by_role("region", name="Audit log")).to_contain_text("Cancelled by you")
    assert await asyncio.to_thread(query, stack, "worker", "SELECT FROM notifications WHERE user_id = $1", found)


@pytest.mark.firefox
@pytest.mark.full
async def test_a_paused_job_is_marked(
    browser: Browser, stack: Stack, admin: Operator, support: Operator, group: str
) -> None:
    """Everybody sees who paused it. Support can neither resume it nor read its messages."""
    (user,) = await asyncio.to_thread(bury, stack, group)
    async with visiting(browser, stack) as visitor, visiting(browser, stack, width=WIDTH, height=HEIGHT) as narrow:
        page = await visitor.signs_in(admin.person.email, "/ops")
        await page.get_by_role("button", name=f"Pause {JOB}").click()
        await confirm(page, "Pause")
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=JOB, exact=True))
        await expect(row).to_contain_text("Paused by you")
        await expect(row.get_by_role("button", name=f"Resume {JOB}")).to_be_focused()
        await page.evaluate("scrollTo(0, 0)")
        shown = await row.element_handle()
        await asyncio.to_thread(bury, stack, group)  # which changes the row
        await shown.wait_for_element_state("hidden")
        assert await page.evaluate("scrollY") == 0

        theirs = await narrow.signs_in(support.person.email, f"/ops#/jobs?error_group={group}&state=dead")
        await expect(theirs.locator("[data-job]").last).to_contain_text("Paused")
        await theirs.locator("[data-job] a").last.click()
        await expect(theirs.get_by_role("region", name="Attempts")).to_be_visible()
        await expect(theirs.get_by_text("Paused by")).to_be_visible()
        await expect(theirs.locator("#content button")).to_have_count(0)
        assert str(user) not in "".join(await theirs.locator("pre").all_inner_texts())
        await expect(theirs.get_by_role("region", name="Message")).to_have_count(0)
        await theirs.get_by_role("link", name="Overview").click()
        await expect(theirs.get_by_text("Paused by")).to_be_visible()
        await fits(theirs)

        await row.get_by_role("button", name=f"Resume {JOB}").click()
        await expect(row.get_by_text("Paused")).to_have_count(0)


@pytest.mark.firefox
@pytest.mark.full
async def test_schedules(browser: Browser, stack: Stack, admin: Operator) -> None:
    """They are run, paused and resumed."""
    weekly: dict[str, Any] = {
        "name": "weekly_digest",
        "cron": "0 7 * * 1",
        "timezone": "Europe/Berlin",
        "paused": False,
        "last_run": None,
        "next_run": rfc3339(now() + timedelta(days=2, hours=1)),
    }
    asked: list[str] = []

    async def listed(route: Route) -> None:
        await route.fulfill(json={"items": [weekly], "next_cursor": None})

    async def changed(route: Route) -> None:
        action = urlsplit(route.request.url).path.rsplit("/", 1)[1]
        asked.append(action)
        if action == "run":
            weekly["last_run"] = rfc3339(now())
            await route.fulfill(status=202, json={"job": "weekly_digest", "event_id": str(uuid4())})
        else:
            weekly["paused"] = action == "pause"
            weekly["next_run"] = None if weekly["paused"] else rfc3339(now() + timedelta(days=2, hours=1))
            await route.fulfill(status=204)

    async with visiting(browser, stack, width=WIDTH, height=HEIGHT) as visitor:
        await visitor.context.route("**/v1/admin/schedules", listed)
        await visitor.context.route("**/v1/admin/schedules/weekly_digest/*", changed)
        page = await visitor.signs_in(admin.person.email, "/ops#/schedules")
        row = page.locator("[data-schedule]")
        await expect(row).to_contain_text("0 7 * * 1 Europe/Berlin")
        await expect(row).to_contain_text("in 2 days")
        await expect(row).to_contain_text("never")
        await is_accessible(page)
        await fits(page)
        await row.get_by_role("button", name="Run now").click()
        await confirm(page, "Run now")
        await expect(row).to_contain_text("just now")
        await row.get_by_role("button", name="Pause").click()
        await confirm(page, "Pause")
        await expect(row).to_contain_text("Paused")
        await row.get_by_role("button", name="Resume").click()
        await expect(row).to_contain_text("in 2 days")
    assert asked == ["run", "pause", "resume"]
