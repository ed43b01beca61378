"""The page without a service or without a connection."""

import asyncio
import json

import aio_pika
import pytest
from playwright.async_api import Browser, expect

from shared.contracts import topology
from tests.support.stack.browser import needs_browser, shows, visiting
from tests.support.stack.running import Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]


async def _hint(stack: Stack, person: Person, *panels: str) -> None:
    """Notify the gateways that these panels have changed."""
    async with await aio_pika.connect(stack.info["rabbitmq"]["url"]) as connection:
        exchange = await (await connection.channel()).get_exchange(topology.LIVE)
        body = json.dumps({"user_id": person.id, "panels": panels}).encode()
        await exchange.publish(aio_pika.Message(body), "hint")


async def test_a_stopped_service_costs_its_panel_only(browser: Browser, stack: Stack, person: Person) -> None:
    """While the service is frozen, its panel shows the last known data with its age and the reason, and the other
    panels work. Afterwards, it becomes fresh by itself."""
    person.order()
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await asyncio.to_thread(lambda: person.dashboard("?panels=orders"))
        with stack.frozen("orders"):
            await _hint(stack, person, "orders")
            await shows(page, "orders", "stale")
            await expect(page.locator('[data-panel="orders"] .stale-note')).to_contain_text("As it was at")
            await expect(page.locator("tr[data-order]")).to_have_count(1)
            await shows(page, "user", "fresh")
        await shows(page, "orders", "fresh")


@pytest.mark.full
async def test_without_a_connection_nothing_is_called_up_to_date(
    browser: Browser, stack: Stack, person: Person
) -> None:
    """Every card shows the age of its data. Once the connection is back, all of it is updated."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        await expect(page.locator(".freshness")).to_have_text(["Up to date"] * 5)
        await visitor.context.set_offline(True)
        await expect(page.locator("#live")).to_have_text("Reconnecting…")
        await expect(page.locator(".freshness").first).to_contain_text("As of")
        await visitor.context.set_offline(False)
        person.order()
        await expect(page.locator("#live")).to_have_text("Live")
        await expect(page.locator(".freshness")).to_have_text(["Up to date"] * 5)
        await expect(page.locator("tr[data-order]")).to_have_count(1)
