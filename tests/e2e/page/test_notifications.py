"""Notifications on the page: the number of unread ones, and their age."""

import asyncio
import re
from uuid import UUID

import pytest
from playwright.async_api import Browser, expect

from tests.support.stack.browser import hide, needs_browser, visiting
from tests.support.stack.operators import query
from tests.support.stack.running import Person, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.full, needs_browser]

MANY = """
    INSERT INTO notifications (user_id, id, kind, title, body, created_at)
    SELECT $1, gen_random_uuid(), 'order.created', 'Order received', 'x', now() FROM generate_series(1, 107)
"""


@pytest.mark.firefox
async def test_all_unread_ones_are_counted_and_marked(browser: Browser, stack: Stack, person: Person) -> None:
    """Those that the page does not show count, too. The title has the number, but not after signing out."""
    person.panel("notifications")
    await asyncio.to_thread(query, stack, "worker", MANY, UUID(person.id))
    person.dashboard("?panels=notifications", no_cache=True)
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        count = page.locator('[data-panel="notifications"] .count')
        await expect(count).to_have_text(re.compile("10[78] new"))
        await expect(page).to_have_title(re.compile(r"^\(10[78]\) Dashboard$"))
        await page.get_by_role("button", name="Mark as read").first.click()
        await expect(count).to_have_text(re.compile("10[67] new"))
        await page.get_by_role("button", name="Account").click()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Password")).to_be_visible()
        await expect(page).to_have_title("Sign in · Dashboard")
        page = await visitor.at_home(person)
        await page.get_by_role("button", name="Mark all as read").click()
        await expect(count).to_be_hidden()
        await expect(page).to_have_title("Dashboard")
    assert person.http.get("/v1/notifications/count").json() == {"unread": 0}


async def test_times_age_while_they_are_shown(browser: Browser, stack: Stack, person: Person) -> None:
    """The shown ages change without any message from the server; those in a hidden tab once it is shown."""
    person.order()
    async with visiting(browser, stack) as visitor:
        await visitor.context.clock.install()
        page = await visitor.at_home(person)
        times = page.locator("time[data-ages]")
        await expect(times.filter(has_text="just now")).not_to_have_count(0)
        await visitor.context.set_offline(True)
        await hide(page)
        await visitor.context.clock.fast_forward("03:00")
        assert await times.filter(has_text="just now").count()
        await hide(page, hidden=False)
        await expect(times.filter(has_text="just now")).to_have_count(0)
        await expect(times.filter(has_text=re.compile("[34] minutes ago"))).not_to_have_count(0)
