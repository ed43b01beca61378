"""The system's browsers, with pages that record errors."""

import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Protocol

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.support.stack.running import PASSWORD, PATIENCE_S, Person

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The names of browsers. The first, which has no windows, needs a third of the CPU time of the others."""
FIREFOX_NAMES = ("firefox-esr", "firefox")
SNAP = Path("/snap/bin/firefox")
WATCH_POLICY = """
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => {
      violations.push(`${event.violatedDirective} ${event.blockedURI}`);
    });
"""
HIDE = """
    (hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }
"""
ANIMATIONS_END = """
    () => Promise.allSettled(
      document.getAnimations()
        .filter((one) => one.effect.getComputedTiming().endTime !== Infinity)
        .map((one) => one.finished))
"""

PANELS = ("user", "orders", "notifications", "analytics")

Name = Literal["chromium", "firefox"]
Scheme = Literal["light", "dark"]

PATIENCE_MS = PATIENCE_S * 1000
expect.set_options(timeout=PATIENCE_MS)


def executable() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path), None)


def firefox() -> str | None:
    """Return the path of a Firefox that is not a snap, which could not read the profile."""
    if SNAP.exists():
        return None
    return next((path for path in map(shutil.which, FIREFOX_NAMES) if path), None)


needs_browser = pytest.mark.skipif(executable() is None, reason="no Chromium; `make test` installs it where it may")
needs_firefox = pytest.mark.skipif(firefox() is None, reason="no Firefox; `make full` installs it where it may")


@asynccontextmanager
async def launched(name: Name = "chromium") -> AsyncIterator[Browser]:
    with TemporaryDirectory(prefix="dashboard-browser-") as folder:
        async with async_playwright() as playwright:
            if name == "chromium":
                browser = await playwright.chromium.launch(
                    executable_path=executable(), args=["--no-sandbox"], timeout=PATIENCE_MS
                )
            else:
                browser = await playwright.firefox.launch(
                    channel="moz-firefox",
                    executable_path=_drivable(Path(folder)),
                    timeout=PATIENCE_MS,
                    firefox_user_prefs={"ui.useOverlayScrollbars": 1},  # a scrollbar takes no space, as in Chromium
                )
            try:
                yield browser
            finally:
                await browser.close()


def _drivable(folder: Path) -> Path:
    """Return a program in the folder that runs Firefox so that Playwright can drive it."""
    program = folder / "firefox"
    command = shlex.join([sys.executable, "-m", "tests.support.stack.firefox", str(firefox())])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    return program


class Site(Protocol):
    """What a browser visits: a whole stack, or a gateway alone."""

    @property
    def url(self) -> str: ...


@dataclass
class Visitor:
    """A user with a browser of their own; its tabs share a session. `errors` has the exceptions of scripts."""

    stack: Site
    context: BrowserContext
    errors: list[str] = field(default_factory=list)

    async def opens(self, path: str = "/") -> Page:
        page = await self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        await page.goto(self.stack.url + path)
        return page

    async def signs_in(self, email: str, path: str = "/", password: str = PASSWORD) -> Page:
        page = await self.opens(path)
        await page.get_by_label("E-mail").fill(email)
        await page.get_by_label("Password").fill(password)
        await page.keyboard.press("Enter")
        await page.locator(".account:not([hidden])").wait_for()
        return page

    async def at_home(self, person: Person) -> Page:
        """Open the dashboard, and wait until every panel is fresh."""
        page = await self.signs_in(person.email)
        for panel in PANELS:
            await shows(page, panel, "fresh")
        return page

    async def violations(self) -> list[str]:
        """Return the violations of the Content-Security-Policy, in any tab."""
        found: list[str] = []
        for page in self.context.pages:
            found += await page.evaluate("window.violations")
        return found


@asynccontextmanager
async def visiting(
    browser: Browser, stack: Site, width: int = 1280, height: int = 900, scheme: Scheme = "light", **more: Any
) -> AsyncIterator[Visitor]:
    viewport: Any = {"width": width, "height": height}
    context = await browser.new_context(viewport=viewport, color_scheme=scheme, locale="en-GB", **more)
    context.set_default_timeout(PATIENCE_MS)
    context.set_default_navigation_timeout(PATIENCE_MS)
    await context.add_init_script(WATCH_POLICY)
    visitor = Visitor(stack, context)
    try:
        yield visitor
        assert not visitor.errors
        assert not await visitor.violations()
    finally:
        await context.close()


async def shows(page: Page, panel: str, status: str) -> None:
    """Wait until a card of the panel has this status."""
    await page.locator(f'[data-panel="{panel}"][data-status="{status}"]').first.wait_for()


async def hide(page: Page, *, hidden: bool = True) -> None:
    """Tell the page that its tab is hidden, or shown again: all tabs of a headless browser are visible."""
    await page.evaluate(HIDE, hidden)


async def fill_order(page: Page, name: str, price: str) -> None:
    dialog = page.get_by_role("dialog", name="New order")
    await dialog.get_by_label("Item").fill(name)
    await dialog.get_by_label("SKU").fill("tea-100")
    await dialog.get_by_label("Quantity").fill("2")
    await dialog.get_by_label("Price each").fill(price)


async def is_accessible(page: Page) -> None:
    """Assert that axe finds no violations on the finished page: everything is loaded, and nothing moves."""
    await expect(page.locator("h1")).to_have_count(1)
    await expect(page.locator(".skeleton")).to_have_count(0)
    await page.evaluate(ANIMATIONS_END)
    found: Any = await Axe().run(page)
    wrong = [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found.response["violations"]]
    assert not wrong, wrong
