"""The page of an installation that has only some of the packaged panels and routes."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from shared.ids import new_id
from tests.support.gateway.stub import Behaviour, Exchange, replies
from tests.support.gateway.world import Start, World
from tests.support.served import listening
from tests.support.stack.browser import is_accessible, needs_browser, shows, visiting
from tests.support.stack.running import PASSWORD

pytestmark = [pytest.mark.e2e, needs_browser]

ACCOUNTS = """routes = [
  { method = "POST", path = "/v1/tokens", service = "users", access = "anonymous" },
  { method = "POST", path = "/v1/tokens/refresh", service = "users", access = "anonymous" },
  %s
]
[services.users]
url = "http://replaced"
[services.orders]
url = "http://replaced"
[panels.user]
service = "users"
protocol = "batch"
kind = "object"
timeout_ms = 5000
knows_users = true
"""
ORDERS = '[panels.orders]\nservice = "orders"\nprotocol = "batch"\nkind = "list"\ntimeout_ms = 5000\n'
USER = {
    "id": str(new_id()),
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "created_at": "2026-01-31T12:00:00Z",
    "avatar_url": None,
}
ORDER: dict[str, Any] = {
    "id": str(new_id()),
    "created_at": "2026-01-31T12:00:00Z",
    "item_count": 2,
    "total": 2500,
    "currency": "EUR",
    "status": "created",
}


def route(method: str, path: str, service: str) -> str:
    return f'{{ method = "{method}", path = "{path}", service = "{service}", access = "user" }},'


@dataclass
class Installation:
    world: World
    url: str

    async def sign_in(self, page: Page) -> None:
        await page.get_by_label("E-mail").fill("ada@example.com")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await shows(page, "user", "fresh")


@asynccontextmanager
async def installation(start: Start, folder: Path, routes: str = "", panels: str = "") -> AsyncIterator[Installation]:
    """Start a gateway with accounts, these further routes and these further panels."""
    path = folder / "panels.toml"
    path.write_text(ACCOUNTS % routes + panels)
    async with start(panels_file=str(path)) as world, listening(world.app) as port:
        user_id = new_id()
        pair = {"token_type": "bearer", "expires_in": 900, "refresh_token": "r"}
        pair["access_token"] = world.tokens.issue(user_id, new_id(), "admin")
        world.users.behaviours["/v1/tokens"] = replies(json.dumps(pair).encode())
        world.users.behaviours["user"] = _items({str(user_id): USER})
        world.orders.behaviours["orders"] = _items({str(user_id): [ORDER]})
        yield Installation(world, f"http://127.0.0.1:{port}")


def _items(items: dict[str, Any]) -> Behaviour:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply_items(dict.fromkeys(exchange.request.panels, items))

    return answer


@pytest.mark.full
async def test_without_orders(browser: Browser, start: Start, tmp_path: Path) -> None:
    """Only the profile is shown, without actions that have no route, and nobody can create an account."""
    async with installation(start, tmp_path) as here, visiting(browser, here) as visitor:
        page = await visitor.opens()
        await expect(page.get_by_role("button", name="Create account")).to_have_count(0)
        await here.sign_in(page)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Ada")
        await expect(page.locator(".card")).to_have_count(1)
        assert await page.locator("main button, main input, main a").count() == 0
        await is_accessible(page)


@pytest.mark.full
async def test_with_orders_that_can_only_be_seen(browser: Browser, start: Start, tmp_path: Path) -> None:
    """Without routes, an order has neither actions nor details."""
    async with installation(start, tmp_path, panels=ORDERS) as here, visiting(browser, here) as visitor:
        page = await visitor.opens()
        await here.sign_in(page)
        await expect(page.locator("tr[data-order]")).to_contain_text("€25.00")
        assert await page.locator("main button, main input, main select, main a").count() == 0
        await is_accessible(page)


@pytest.mark.full
async def test_each_action_by_its_route(browser: Browser, start: Start, tmp_path: Path) -> None:
    """What has a route is offered, and nothing else, on the dashboard and on the page of the account."""
    routes = [
        route("GET", "/v1/me", "users"),
        route("PATCH", "/v1/me", "users"),
        route("POST", "/v1/orders", "orders"),
        route("GET", "/v1/orders/{id:uuid}", "orders"),
        route("POST", "/v1/orders/{id:uuid}/cancel", "orders"),
    ]
    async with installation(start, tmp_path, "\n  ".join(routes), ORDERS) as here, visiting(browser, here) as visitor:
        me = {**USER, "email_verified": True, "pending_email": None, "role": "user"}
        here.world.users.behaviours["/v1/me"] = replies(json.dumps(me).encode())
        page = await visitor.opens()
        await here.sign_in(page)
        await shows(page, "orders", "fresh")
        buttons = page.locator("main").get_by_role("button")
        await expect(buttons).to_have_text(["New order", "Cancel"])
        await page.get_by_role("link", name="Edit profile").click()
        await expect(page.get_by_role("heading", level=2)).to_have_text(["Profile", "Password", "Your data"])
        await expect(buttons).to_have_text(["Save the name", "Change the password", "Download my data"])


@pytest.mark.full
async def test_operations_without_jobs(browser: Browser, start: Start, tmp_path: Path) -> None:
    """There is only the overview, and no part of it that needs a worker."""
    async with installation(start, tmp_path) as here, visiting(browser, here) as visitor:
        page = await visitor.opens("/ops")
        await page.get_by_label("E-mail").fill("ada@example.com")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Processes")).to_be_visible()
        await expect(page.get_by_role("link", name="Jobs")).to_have_count(0)
        await expect(page.get_by_role("heading", name="Failed jobs")).to_have_count(0)
