"""All tabs of a browser share one live stream, whatever happens to the tab that reads it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from playwright.async_api import Browser, Page, Request, expect
from prometheus_client.parser import text_string_to_metric_families

from tests.support.stack.browser import Visitor, needs_browser, visiting
from tests.support.stack.running import NO_TLS, PATIENCE_S, Person, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, needs_browser]

EVENTS = "/v1/dashboard/events"
WITHOUT_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined })"
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
GRACE_MS = 30_000
"""How long a hidden tab takes part: `HIDDEN_MS` in stream.js, with a jitter of none."""


class Tabs:
    """The tabs of one browser. `readers` has those that have opened a stream, in that order."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self.pages: list[Page] = []
        self.readers: list[Page] = []

    async def signs_in(self, person: Person) -> None:
        self._watches(await self._visitor.signs_in(person.email))
        await _is_live(self.pages[0])

    async def opens(self, count: int) -> None:
        for page in await asyncio.gather(*(self._visitor.opens() for _ in range(count))):
            self._watches(page)
        await asyncio.gather(*map(_is_live, self.pages))

    def _watches(self, page: Page) -> None:
        self.pages.append(page)

    @property
    def leader(self) -> Page:
        return self.readers[-1]

    def others(self) -> list[Page]:
        return [page for page in self.pages if page is not self.leader]

    async def closes_the_leader(self) -> None:
        leader = self.leader
        self.pages.remove(leader)
        await leader.close()

    async def sees(self, person: Person, *pages: Page) -> None:
        """Place an order, and wait until these tabs show it."""
        order = (await asyncio.to_thread(person.order))["id"]
        for page in pages:
            await expect(page.locator(f'tr[data-order="{order}"]')).to_have_count(1)

    def requested(self, request: Request) -> None:
        if EVENTS in request.url:
            self.readers.append(request.frame.page)


@asynccontextmanager
async def tabs_of(browser: Browser, stack: Stack, script: str | None = None) -> AsyncIterator[Tabs]:
    async with visiting(browser, stack) as visitor:
        if script:
            await visitor.context.add_init_script(script)
        tabs = Tabs(visitor)
        visitor.context.on("request", tabs.requested)
        yield tabs


async def _is_live(page: Page) -> None:
    await expect(page.locator('#live[data-state="live"]')).to_have_count(1)
    await expect(page.locator('[data-panel]:not([hidden]):not([data-status="fresh"])')).to_have_count(0)


def _streams(stack: Stack) -> int:
    """Return the number of streams that are open at the gateway."""
    url = stack.info["gateway"]["internal_url"]
    text = httpx.get(f"{url}/metrics", timeout=PATIENCE_S, verify=NO_TLS).raise_for_status().text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return int(families["gateway_streams"].samples[0].value)


async def _has_streams(stack: Stack, count: int) -> None:
    async def reached() -> bool:
        return await asyncio.to_thread(_streams, stack) == count

    await eventually(reached, PATIENCE_S)


async def test_three_tabs_share_a_stream(browser: Browser, stack: Stack, person: Person) -> None:
    """Each shows what changes. When the one that reads the stream is closed, another one takes over."""
    async with tabs_of(browser, stack) as tabs:
        await tabs.signs_in(person)
        await tabs.opens(2)
        await _has_streams(stack, 1)
        await tabs.sees(person, *tabs.pages)
        await tabs.closes_the_leader()
        await tabs.sees(person, *tabs.pages)
        await _has_streams(stack, 1)
        assert len(tabs.readers) == 2
