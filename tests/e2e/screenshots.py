"""`python -m tests.e2e.screenshots [FOLDER]`: takes the README's pictures of the one-machine stack with demo data."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.async_api import Browser, Page, Route, expect

from tests.support.gateway.other_services import DATA, crm_gateway
from tests.support.gateway.world import starter_at
from tests.support.stack import trace_picture
from tests.support.stack.browser import executable, launched, shows, visiting
from tests.support.stack.operators import bury, query
from tests.support.stack.running import Person, Stack
from tests.support.waiting import wait_until
from tools import demo
from tools.devstack.system.ports import free_port

FOLDER = Path("docs/images")
FAILED = (
    ("email", "550 no such mailbox", "SMTPRecipientRefused: 550 5.1.1 <kim@example.org>: no such mailbox", 14),
    ("notifications", "invalid event", "InvalidEvent: order.created lacks the field `total` - at `$`", 3),
)
SPREAD = """
    UPDATE notifications SET created_at = created_at - ranked.place * interval '97 minutes', read = ranked.place >= 3
    FROM (SELECT user_id, id, row_number() OVER (PARTITION BY user_id ORDER BY id DESC) - 1 AS place FROM notifications)
        AS ranked
    WHERE notifications.user_id = ranked.user_id AND notifications.id = ranked.id
"""
HOUR = """
    INSERT INTO job_minutes (job, minute, done, retried, failed, durations)
    SELECT job, date_trunc('minute', now()) - n * interval '1 minute', 60 + (n * 37 + length(job) * 11) % 90,
        CASE WHEN n % 13 < 2 THEN n % 7 ELSE 0 END, CASE WHEN n % 29 = 5 THEN 3 ELSE 0 END,
        (SELECT array_agg(CASE WHEN bucket = 4 + (n + length(job)) % 3 THEN 90 ELSE 6 END) FROM generate_series(1, 15)
            AS bucket)
    FROM unnest(ARRAY['analytics', 'email', 'notifications', 'webhooks']) AS job, generate_series(1, 59) AS n
    ON CONFLICT DO NOTHING
"""
"""An hour of attempts, with some failures."""
FULL = ("operations", "account")
"""Pictures of the whole page, not only of the part that fits the window."""
COLOURS = 256
"""The number of colours in the palette: enough for flat surfaces and text, and a picture has a third of the size."""


def main() -> None:
    take_pictures(_take_all, FOLDER)


def take_pictures(take: Callable[[Stack, Path], Coroutine[Any, Any, None]], default: Path) -> Path:
    """Take pictures of a stack with demo data, in the folder that the command line names; return the folder."""
    if executable() is None:
        sys.exit("no Chromium: tools/devstack/install.sh browser")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    with _demo_stack() as stack:
        asyncio.run(take(stack, folder))
    return folder


@contextmanager
def _demo_stack() -> Iterator[Stack]:
    """Run a stack with demo data, orders in another currency, and jobs for operators to look at."""
    with tempfile.TemporaryDirectory(prefix="dashboard-pictures-") as place:
        stack = Stack(Path(place) / "data", Path(place) / "up.log")
        command = [
            sys.executable,
            "-m",
            "tools.cli.main",
            "up",
            "--port",
            str(free_port()),
            "--data-dir",
            str(stack.folder),
        ]
        with stack.log.open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: "Dashboard is ready" in stack.log.read_text() or process.poll() is not None, within=600)
            if process.poll() is not None:
                sys.exit(stack.log.read_text())
            _prepare(stack)
            yield stack
        finally:
            process.terminate()
            process.wait(30)


def _prepare(stack: Stack) -> None:
    for job, cause, error, count in FAILED:
        bury(stack, cause, count)
        query(stack, "worker", "UPDATE jobs SET job = $1, last_error = $2 WHERE error_group = $3", job, error, cause)
    with httpx.Client(base_url=stack.url) as http:
        form = {"username": demo.USER, "password": demo.PASSWORD}
        token = http.post("/v1/tokens", data=form).raise_for_status().json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        for price in (2500, 7200, 1840):
            item = {"sku": "print-a2", "name": "Print, A2", "quantity": 1, "unit_price": price}
            order = http.post("/v1/orders", json={"currency": "USD", "items": [item]}).raise_for_status().json()
        http.post(f"/v1/orders/{order['id']}/pay").raise_for_status()
        key = {"name": "nightly report", "scopes": ["read"], "current_password": demo.PASSWORD}
        http.post("/v1/me/api-keys", json=key).raise_for_status()
        wait_until(lambda: len(_panel(http, "notifications")) >= 20)
        # The notifications of the demo's 30 days have all just been created: give them the times of their events.
        query(stack, "worker", SPREAD)
        http.get("/v1/dashboard", headers={"Cache-Control": "no-cache"}).raise_for_status()


def _panel(http: httpx.Client, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = (
        http.get(f"/v1/dashboard?panels={name}").raise_for_status().json()["panels"][name]["data"]
    )
    return found


async def _take_all(stack: Stack, folder: Path) -> None:
    async with launched() as browser:
        await _dashboard(browser, stack, folder / "dashboard.png")
        await _dashboard(browser, stack, folder / "dark.png", scheme="dark")
        await _order(browser, stack, folder / "order.png")
        await _phone(browser, stack, folder / "phone.png")
        await account_views(browser, stack, folder, demo.USER, demo.PASSWORD)
        await _degraded(browser, stack, folder / "degraded.png")
        write_picture(await trace_picture.take(browser, stack), folder / "trace.png")
        await _operations(browser, stack, folder / "operations.png")
        await _operators_views(browser, stack, folder)
        await _other_panels(
            browser, stack.info["redis"]["url"], stack.info["rabbitmq"]["url"], folder / "generic-cards.png"
        )


async def _dashboard(browser: Browser, stack: Stack, path: Path, **look: str) -> None:
    async with visiting(browser, stack, height=980, device_scale_factor=2, **look) as visitor:  # type: ignore[arg-type]
        await _save(await settled(await visitor.signs_in(demo.USER, password=demo.PASSWORD)), path)


async def _order(browser: Browser, stack: Stack, path: Path) -> None:
    """Of an order that has been shipped, found by its item."""
    async with visiting(browser, stack, height=760, device_scale_factor=2) as visitor:
        page = await settled(await visitor.signs_in(demo.USER, password=demo.PASSWORD))
        await page.get_by_label("Which orders").select_option("shipped")
        await page.locator("tr[data-order]", has_text="Shipped").first.get_by_role("link").click()
        await expect(page.get_by_role("list", name="History").get_by_role("listitem")).to_have_count(3)
        await _save(page, path)


async def _phone(browser: Browser, stack: Stack, path: Path) -> None:
    async with visiting(browser, stack, width=360, height=780, device_scale_factor=2) as visitor:
        await _save(await settled(await visitor.signs_in(demo.USER, password=demo.PASSWORD)), path)


async def account_views(browser: Browser, stack: Stack, folder: Path, email: str, password: str) -> None:
    """The account page of a user with an API key, the views behind the links in mails, and the forms for a provider."""
    async with visiting(browser, stack, width=960, height=900, device_scale_factor=2) as visitor:
        page = await visitor.signs_in(email, "/#/account", password)
        await expect(page.locator("[data-api-key]")).to_have_count(1)
        await expect(page.locator("[data-session]").first).to_be_visible()
        await expect(page.get_by_role("switch")).not_to_have_count(0)
        await _save(page, folder / "account.png")
    async with visiting(browser, stack, width=600, height=430, device_scale_factor=2) as visitor:
        for view in ("verify", "reset"):
            page = await visitor.opens(f"/#/{view}?token=sample")
            await page.get_by_role("heading", level=1).wait_for()
            await _save(page, folder / f"account-{view}.png")
    async with visiting(browser, stack, width=600, height=640, device_scale_factor=2) as visitor:
        await visitor.context.route("**/v1/identity-providers", one_provider)  # the stack has none
        page = await visitor.opens("/#/sign-in")
        await page.get_by_role("button", name="Sign in with Example").wait_for()
        await _save(page, folder / "account-sign-in.png")
        page = await visitor.opens("/#/link?ticket=sample&provider=Example")
        await page.get_by_role("button", name="Link and sign in").wait_for()
        await _save(page, folder / "account-link.png")


async def one_provider(route: Route) -> None:
    await route.fulfill(json=[{"name": "example", "title": "Example"}])


async def _degraded(browser: Browser, stack: Stack, path: Path) -> None:
    async with visiting(browser, stack, height=980, device_scale_factor=2) as visitor:
        page = await settled(await visitor.signs_in(demo.USER, password=demo.PASSWORD))
        async with AsyncExitStack() as frozen:
            frozen.enter_context(stack.frozen("orders"))
            await page.get_by_role("button", name="Pay order").first.click(no_wait_after=True)
            await shows(page, "orders", "stale")
            await _save(page, path)


async def _other_panels(browser: Browser, redis_url: str, rabbitmq_url: str, path: Path) -> None:
    """A gateway in front of another service, with the stack's servers."""
    with tempfile.TemporaryDirectory(prefix="dashboard-panels-") as place:
        start, panels_folder = starter_at(redis_url), Path(place)
        async with (
            crm_gateway(start, panels_folder, rabbitmq_url=rabbitmq_url) as crm,
            visiting(browser, crm, height=1150, device_scale_factor=2) as visitor,
        ):
            page = await visitor.opens(f"/#access_token={crm.token()}")
            for panel in DATA:
                await shows(page, panel, "fresh")
            await expect(page.locator("#live")).to_have_attribute("data-state", "live")
            await _save(page, path)


async def _operations(browser: Browser, stack: Stack, path: Path) -> None:
    async with visiting(browser, stack, height=1180, device_scale_factor=2) as visitor:
        page = await visitor.signs_in(demo.ADMIN, "/ops", demo.PASSWORD)
        await expect(page.locator("[data-group]")).to_have_count(2)
        await expect(page.locator("canvas")).to_have_count(1)
        await page.get_by_role("button", name="Pause email").click()
        await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        await page.get_by_role("button", name="Dismiss").click()
        await page.evaluate("scrollTo(0, 0)")
        await expect(page.get_by_text("Paused")).to_be_visible()
        somebody = await asyncio.to_thread(Person, stack)
        for number in range(60):  # a line needs several points
            await asyncio.to_thread(somebody.order, number % 7 + 1)
            await page.wait_for_timeout(20 + number % 20 * 20)
        await _save(page, path)
        await page.set_viewport_size({"width": 1280, "height": 760})
        await page.get_by_role("link", name="Jobs", exact=True).click()
        await page.get_by_label("Text").fill("mailbox")
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator("[data-job]").first).to_contain_text("Paused")
        await _save(page, path.with_stem("jobs"))


async def _operators_views(browser: Browser, stack: Stack, folder: Path) -> None:
    await asyncio.to_thread(query, stack, "worker", HOUR)
    async with visiting(browser, stack, height=820, device_scale_factor=2) as visitor:
        page = await visitor.signs_in(demo.ADMIN, "/ops#/history?job=email", demo.PASSWORD)
        await expect(page.locator("canvas")).to_have_count(2)
        await _save(page, folder / "ops-history.png")
        await page.get_by_role("link", name="Workers", exact=True).click()
        await page.locator("[data-worker] summary").first.click()
        await page.set_viewport_size({"width": 1280, "height": 560})
        await _save(page, folder / "ops-workers.png")
        await page.evaluate("location.hash = '#/users?q=demo'")
        await page.locator("[data-user] a").first.click()
        await expect(page.get_by_role("region", name="Audit log").get_by_role("row")).not_to_have_count(0)
        await page.set_viewport_size({"width": 1280, "height": 820})
        await _save(page, folder / "ops-user.png")
        await page.get_by_role("link", name="Audit", exact=True).click()
        await expect(page.locator("[data-entry]").first).to_be_visible()
        await _save(page, folder / "ops-audit.png")
        await page.evaluate("location.hash = '#/jobs?q=mailbox'")
        await page.get_by_role("button", name="Retry all").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await _save(page, folder / "ops-bulk.png")
    async with visiting(browser, stack, width=1600, height=900, scheme="dark") as visitor:
        page = await visitor.signs_in(demo.ADMIN, "/ops", demo.PASSWORD)
        await page.get_by_role("link", name="Wall mode").click()
        await expect(page.locator(".wall-chart canvas")).to_have_count(1)
        await _save(page, folder / "ops-wall.png")


async def settled(page: Page) -> Page:
    """Wait until the dashboard is complete."""
    for panel in ("user", "orders", "notifications", "analytics"):
        await shows(page, panel, "fresh")
    await expect(page.locator("canvas")).to_have_count(1)
    await page.wait_for_timeout(300)  # the chart is drawn with the next frame
    return page


async def _save(page: Page, path: Path) -> None:
    write_picture(await page.screenshot(full_page=path.stem in FULL), path)


def write_picture(picture: bytes, path: Path) -> None:
    taken = Image.open(BytesIO(picture))
    taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
