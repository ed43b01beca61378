"""All tabs of a browser share one live stream, whatever happens to the tab that reads it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, CDPSession, Page, Request, expect

from tests.support.gateway.other_services import Crm, crm_gateway
from tests.support.gateway.world import Start
from tests.support.stack.browser import Visitor, hide, needs_browser, shows, visiting
from tests.support.stack.running import PATIENCE_S, Person, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, needs_browser]

EVENTS = "/v1/dashboard/events"
WITHOUT_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined })"
HIDDEN_FOR = "01:00"
"""Longer than a hidden tab takes part: `HIDDEN_MS` in stream.js."""
SOON: dict[str, Any] = {"stream_recheck_s": 0.3}
"""Every panel is read again so often, because no broker announces changes."""
POINTS = {"points": {"points": 7}}

with_and_without_locks = pytest.mark.parametrize(
    "script", [pytest.param("", id="locks"), pytest.param(WITHOUT_LOCKS, id="no locks", marks=pytest.mark.full)]
)


class Tabs:
    """The tabs of one browser. `readers` has the tabs that have opened a stream, in that order."""

    def __init__(self, visitor: Visitor, count: Callable[[], int]) -> None:
        self._visitor = visitor
        self._count = count
        self.pages: list[Page] = []
        self.readers: list[Page] = []
        visitor.context.on("request", self._requested)

    async def signs_in(self, person: Person) -> None:
        self.pages.append(await self._visitor.signs_in(person.email))
        await is_live(self.pages[-1])

    async def opens(self, count: int, path: str = "/") -> None:
        self.pages += await asyncio.gather(*(self._visitor.opens(path) for _ in range(count)))
        await asyncio.gather(*map(is_live, self.pages))

    def removes_the_leader(self) -> Page:
        """Return the tab that reads the stream; it is no longer one of these."""
        leader = self.readers[-1]
        self.pages.remove(leader)
        return leader

    async def has_streams(self, count: int) -> None:
        """Wait until the gateway has so many streams."""

        async def reached() -> bool:
            return await asyncio.to_thread(self._count) == count

        await eventually(reached, PATIENCE_S)

    def _requested(self, request: Request) -> None:
        if EVENTS in request.url:
            self.readers.append(request.frame.page)


async def is_live(page: Page) -> None:
    await expect(page.locator('#live:is([data-state="live"], [data-state="paused"])')).to_have_count(1)
    await expect(page.locator('[data-panel]:not([hidden]):not([data-status="fresh"])')).to_have_count(0)


async def all_see_an_order(person: Person, pages: list[Page]) -> None:
    order = (await asyncio.to_thread(person.order))["id"]
    for page in pages:
        await expect(page.locator(f'tr[data-order="{order}"]')).to_have_count(1)


async def all_see_points(crm: Crm, points: int, pages: list[Page]) -> None:
    crm.answers("points", {"points": points})
    for page in pages:
        await expect(page.locator('[data-panel="points"] dd')).to_have_text(str(points))


@asynccontextmanager
async def stack_tabs(browser: Browser, stack: Stack, script: str = "") -> AsyncIterator[Tabs]:
    async with visiting(browser, stack) as visitor:
        await visitor.context.add_init_script(script)
        yield Tabs(visitor, lambda: stack.streams())


@asynccontextmanager
async def crm_tabs(browser: Browser, start: Start, folder: Path, script: str = "") -> AsyncIterator[tuple[Crm, Tabs]]:
    """Three tabs of a page in front of one panel, which the gateway reads often."""
    async with crm_gateway(start, folder, POINTS, **SOON) as crm, visiting(browser, crm) as visitor:
        await visitor.context.add_init_script(script)
        tabs = Tabs(visitor, lambda: len(crm.world.gateway.hub))
        await tabs.opens(3, f"/#access_token={crm.token()}")
        yield crm, tabs


async def devtools(page: Page) -> CDPSession:
    return await page.context.new_cdp_session(page)


@pytest.mark.full
@pytest.mark.firefox
async def test_three_tabs_share_a_stream(browser: Browser, stack: Stack, person: Person) -> None:
    """Each shows what changes. When the one that reads the stream is closed, another one takes over. Signing out ends
    it."""
    async with stack_tabs(browser, stack) as tabs:
        await tabs.signs_in(person)
        await tabs.opens(2)
        await tabs.has_streams(1)
        await all_see_an_order(person, tabs.pages)
        await tabs.removes_the_leader().close()
        await all_see_an_order(person, tabs.pages)
        await tabs.has_streams(1)
        here, there = tabs.pages
        await here.get_by_role("button", name="Account").click()
        await here.get_by_role("button", name="Sign out").click()
        await expect(there.get_by_label("Password")).to_be_visible()
        await tabs.has_streams(0)


@pytest.mark.full
@with_and_without_locks
async def test_twelve_tabs_share_a_stream(browser: Browser, stack: Stack, person: Person, script: str) -> None:
    """They are more than the connections of a browser to one server, and than the streams of one user. The one that
    reads the stream crashes."""
    async with stack_tabs(browser, stack, script) as tabs:
        await tabs.signs_in(person)
        await tabs.opens(11)
        await tabs.has_streams(1)
        await all_see_an_order(person, tabs.pages)
        crashed = tabs.removes_the_leader()
        session = await devtools(crashed)
        async with crashed.expect_event("crash"):
            never_answered = asyncio.create_task(session.send("Page.crash"))
        never_answered.cancel()
        await all_see_an_order(person, tabs.pages)
        await crashed.close()
        await tabs.has_streams(1)


@pytest.mark.full
@with_and_without_locks
async def test_another_tab_takes_over(browser: Browser, start: Start, tmp_path: Path, script: str) -> None:
    """The tab that reads the stream goes to another page, and the next one is signed out: it alone, because this page
    has a token for each tab."""
    async with crm_tabs(browser, start, tmp_path, script) as (crm, tabs):
        await tabs.has_streams(1)
        await all_see_points(crm, 8, tabs.pages)
        await tabs.removes_the_leader().goto("about:blank")
        await all_see_points(crm, 9, tabs.pages)
        await tabs.has_streams(1)
        leader = tabs.removes_the_leader()
        await leader.get_by_role("button", name="Account").click()
        await leader.get_by_role("button", name="Sign out").click()
        await all_see_points(crm, 10, tabs.pages)
        await tabs.has_streams(1)


@pytest.mark.full
@with_and_without_locks
async def test_a_tab_that_stands_still_is_replaced(browser: Browser, start: Start, tmp_path: Path, script: str) -> None:
    """The tab that reads the stream runs no script any more, without a warning. When it continues, it follows."""
    async with crm_tabs(browser, start, tmp_path, script) as (crm, tabs):
        frozen = tabs.removes_the_leader()
        debugger = await devtools(frozen)
        await debugger.send("Debugger.enable")
        await debugger.send("Debugger.pause")
        await all_see_points(crm, 8, tabs.pages)
        await debugger.send("Debugger.disable")
        await tabs.has_streams(1)
        await all_see_points(crm, 9, [*tabs.pages, frozen])
        await tabs.has_streams(1)


@pytest.mark.full
async def test_a_tab_that_the_browser_freezes_is_replaced(browser: Browser, start: Start, tmp_path: Path) -> None:
    """It gives up its place, and follows when it is used again."""
    async with crm_tabs(browser, start, tmp_path) as (crm, tabs):
        frozen = tabs.removes_the_leader()
        session = await devtools(frozen)
        await session.send("Page.setWebLifecycleState", {"state": "frozen"})
        await all_see_points(crm, 8, tabs.pages)
        await session.send("Page.setWebLifecycleState", {"state": "active"})
        await all_see_points(crm, 9, [*tabs.pages, frozen])
        await tabs.has_streams(1)


@pytest.mark.full
@with_and_without_locks
async def test_hidden_tabs_have_no_stream(browser: Browser, start: Start, tmp_path: Path, script: str) -> None:
    """After half a minute a hidden tab leaves; the last one ends the stream. A tab that is shown again catches up."""
    async with crm_gateway(start, tmp_path, POINTS, **SOON) as crm, visiting(browser, crm) as visitor:
        await visitor.context.add_init_script(script)
        await visitor.context.clock.install()
        tabs = Tabs(visitor, lambda: len(crm.world.gateway.hub))
        await tabs.opens(2, f"/#access_token={crm.token()}")
        first, second = tabs.pages
        await hide(first)
        await first.clock.fast_forward(HIDDEN_FOR)
        await all_see_points(crm, 8, [second])
        await tabs.has_streams(1)
        await expect(first.locator('[data-panel="points"] dd')).to_have_text("7")
        await hide(second)
        await second.clock.fast_forward(HIDDEN_FOR)
        await tabs.has_streams(0)
        crm.answers("points", {"points": 9})
        await hide(first, hidden=False)
        await expect(first.locator('[data-panel="points"] dd')).to_have_text("9")
        await hide(second, hidden=False)
        await expect(second.locator('[data-panel="points"] dd')).to_have_text("9")
        await tabs.has_streams(1)


@pytest.mark.full
@with_and_without_locks
async def test_two_people_share_nothing(browser: Browser, start: Start, tmp_path: Path, script: str) -> None:
    """Tabs with tokens of different people, or with different claims, have a stream each."""
    async with crm_tabs(browser, start, tmp_path, script) as (crm, tabs):
        for claims in ({"sub": "auth0|another"}, {"role": "operator"}):
            await tabs.opens(1, f"/#access_token={crm.token(**claims)}")
        await tabs.has_streams(3)
        await tabs.opens(1, f"/#access_token={crm.token(sub='auth0|another')}")
        await tabs.has_streams(3)
        await shows(tabs.pages[-1], "points", "fresh")
