"""The pages of operators and administrators."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.support.stack.browser import is_accessible, needs_browser, visiting
from tests.support.stack.operators import Operator, bury, query
from tests.support.stack.running import PATIENCE_S, Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]


@pytest.fixture
async def group(stack: Stack) -> AsyncIterator[str]:
    """Provide an error group for one test, and delete it afterwards."""
    name = f"broken-{uuid4().hex[:12]}"
    yield name
    await asyncio.to_thread(query, stack, "worker", "DELETE FROM jobs WHERE error_group = $1", name)


@pytest.mark.firefox
@pytest.mark.full
async def test_an_administrator_ships_an_order(browser: Browser, stack: Stack, admin: Operator) -> None:
    """An administrator ships a paid order; afterwards there are no actions left."""
    async with httpx.AsyncClient(base_url=stack.url, headers=admin.person.http.headers, timeout=PATIENCE_S) as http:
        item = {"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price": 1250}
        placed = await http.post("/v1/orders", json={"currency": "EUR", "items": [item]})
        order = placed.raise_for_status().json()["id"]
        (await http.post(f"/v1/orders/{order}/pay")).raise_for_status()
        async with visiting(browser, stack) as visitor:
            page = await visitor.signs_in(admin.person.email)
            row = page.locator(f'[data-order="{order}"]')
            await row.get_by_role("button", name="Ship").click()
            await expect(row).to_contain_text("Shipped")
            await expect(row.locator(".do button")).to_have_count(0)
        assert (await http.get(f"/v1/orders/{order}")).json()["status"] == "shipped"


@pytest.mark.full
@pytest.mark.firefox
async def test_an_operator_replays_dead_jobs(browser: Browser, stack: Stack, admin: Operator, group: str) -> None:
    """The page shows the failures with their causes, links to the jobs, replays them, and then has no problems."""
    users = await asyncio.to_thread(bury, stack, group, 3)
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(admin.person.email, "/ops")
        row = page.locator(f'[data-group="{group}"]')
        await expect(row).to_contain_text("Broken: by a test")
        await expect(page.locator(".verdict.ill")).to_contain_text("3 dead jobs of notifications")
        await is_accessible(page)
        await row.get_by_role("link", name=group, exact=True).click()
        await expect(page.locator("[data-job]")).to_have_count(3)
        await page.get_by_role("link", name="Overview").click()
        await row.get_by_role("button", name="Replay").click()
        await page.get_by_role("dialog").get_by_role("button", name="Replay").click()
        await expect(row).to_have_count(0)
        await expect(page.locator(".verdict")).to_have_text("No problems")
    notified = "SELECT 1 FROM notifications WHERE user_id = ANY($1)"
    assert len(await asyncio.to_thread(query, stack, "worker", notified, users)) == 3


@pytest.mark.firefox
@pytest.mark.full
async def test_an_operator_sees_what_stands_still(browser: Browser, stack: Stack) -> None:
    """Support sees a process that does not respond, and cannot change anything."""
    support = await asyncio.to_thread(Operator, stack, "support")
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(support.person.email, "/ops")
        await expect(page.locator("tbody").filter(has_text="orders").first).to_be_visible()
        with stack.frozen("orders"):
            await expect(page.locator(".verdict")).to_contain_text("orders is unreachable")
            await expect(page.get_by_role("button", name="Replay")).to_have_count(0)
        await expect(page.locator(".verdict")).to_have_text("No problems")


@pytest.mark.full
@pytest.mark.firefox
async def test_operations_are_for_operators(browser: Browser, stack: Stack, person: Person) -> None:
    """Other users see a message with a link to the dashboard."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(person.email, "/ops")
        await expect(page.get_by_role("heading", name="For operators only")).to_be_visible()
    assert person.http.get("/v1/admin/status").status_code == 403
