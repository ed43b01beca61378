"""The cards of panels of which the page knows only the JSON."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.support.gateway.other_services import CUSTOMER, LINK, MARKUP, TICKETS, Crm, crm_gateway
from tests.support.gateway.world import Start
from tests.support.stack.browser import Scheme, Visitor, is_accessible, needs_browser, shows, visiting
from tests.support.stack.keyboard import never_lost_focus, press, stays, tab_reaches_everything, watch_focus

pytestmark = [pytest.mark.e2e, needs_browser]

SOON: dict[str, Any] = {"stream_recheck_s": 0.3}
"""Every panel is read again so often, because no broker announces changes."""
ORDER = "(cards) => cards.map((card) => card.dataset.panel)"


async def signs_in(visitor: Visitor, crm: Crm) -> Page:
    return await visitor.opens(f"/#access_token={crm.token()}")


def card(page: Page, panel: str) -> Locator:
    return page.locator(f'[data-panel="{panel}"]')


def fact(place: Locator, name: str) -> Locator:
    """Return the value with this label."""
    return place.locator(f"dt:text-is('{name}') + dd")


@pytest.mark.full
async def test_an_object_is_shown_as_facts(browser: Browser, start: Start, tmp_path: Path) -> None:
    """With words for its keys, and values in the form that people expect. Objects and lists in it have headings."""
    async with crm_gateway(start, tmp_path) as crm, visiting(browser, crm) as visitor:
        customer = card(await signs_in(visitor, crm), "customer")
        for name, value in {
            "Customer no": "10023",
            "Points": "1,284,350",
            "Discount": "0.125",
            "Member since": "30 Apr 2019",
            "Last visit": "28 Nov 2026, ",
            "Newsletter": "Yes",
            "Blocked": "No",
            "Sales contact": "\N{EN DASH}",
            "Homepage": LINK,
            "City": "London",
        }.items():
            await expect(fact(customer, name)).to_contain_text(value)
        await expect(customer.get_by_role("heading")).to_have_text(["Customer", "Address", "Favourites"])
        await expect(customer.locator("li")).to_have_text(CUSTOMER["favourites"])
        remarks = fact(customer, "Remarks").locator("[title]")
        await expect(remarks).to_have_attribute("title", CUSTOMER["remarks"])
        assert len(await remarks.inner_text()) < 250


@pytest.mark.full
async def test_nothing_of_the_data_becomes_part_of_the_page(browser: Browser, start: Start, tmp_path: Path) -> None:
    """Markup is shown as it is, in keys, values and cells; addresses are no links."""
    odd: dict[str, Any] = {
        MARKUP: MARKUP,
        "": "javascript:alert(1)",
        "__proto__": {"x": LINK},
        "rows": [{MARKUP: LINK}],
    }
    async with crm_gateway(start, tmp_path, {"odd": odd}) as crm, visiting(browser, crm) as visitor:
        odd_card = card(await signs_in(visitor, crm), "odd")
        await expect(odd_card).to_contain_text(MARKUP)
        await expect(odd_card).to_contain_text("javascript:alert(1)")
        await expect(odd_card.get_by_role("cell")).to_have_text(LINK)
        await expect(odd_card.locator("a, img, script")).to_have_count(0)


@pytest.mark.full
async def test_objects_in_a_list_are_a_table(browser: Browser, start: Start, tmp_path: Path) -> None:
    """The first fields are columns, the others are collapsed; the first rows are shown, the others on request. That
    stays so when the panel changes."""
    async with crm_gateway(start, tmp_path, **SOON) as crm, visiting(browser, crm) as visitor:
        tickets = card(await signs_in(visitor, crm), "tickets")
        heads = ["ID", "Subject", "Opened at", "Open", "Replies", "Further fields"]
        await expect(tickets.get_by_role("columnheader")).to_have_text(heads)
        rows = tickets.locator("tbody > tr")
        await expect(rows).to_have_count(8)
        await expect(rows.nth(1)).to_contain_text("Change of address")
        await expect(rows.nth(3)).to_contain_text("1,200")
        await expect(tickets).to_contain_text("and 12 more")
        await rows.first.get_by_text("2 more").click()
        await expect(fact(rows.first, "Team")).to_have_text("Billing")
        await tickets.get_by_role("button", name="Show more").click()
        await expect(rows).to_have_count(20)
        crm.answers("tickets", [TICKETS[0] | {"subject": "Solved"}, *TICKETS[1:]])
        await expect(rows.first).to_contain_text("Solved")
        await expect(rows).to_have_count(20)
        await expect(fact(rows.first, "Team")).to_be_visible()


@pytest.mark.full
async def test_lists_of_any_kind(browser: Browser, start: Start, tmp_path: Path) -> None:
    """An empty list, lists in lists, values of different kinds, and more levels than a page can show."""
    deep: Any = "bottom"
    for _ in range(12):
        deep = [deep]
    panels = {"empty": [], "mixed": [1234, None, "text", [1, 2], {"a": True}], "deep": [deep], "contract": None}
    async with crm_gateway(start, tmp_path, panels) as crm, visiting(browser, crm) as visitor:
        page = await signs_in(visitor, crm)
        await expect(card(page, "empty")).to_contain_text("Nothing here.")
        await expect(card(page, "contract")).to_contain_text("No data")
        await expect(card(page, "mixed").locator(".data > ul > li").first).to_have_text("1,234")
        await card(page, "mixed").get_by_text("2 entries").click()
        await expect(card(page, "mixed").locator("ul ul > li")).to_have_text(["1", "2"])
        for summary in range(6):
            await card(page, "deep").locator("summary").nth(summary).click()
        await expect(card(page, "deep").locator("code")).to_contain_text("bottom")
        await is_accessible(page)


@pytest.mark.full
async def test_numbers_of_every_size(browser: Browser, start: Start, tmp_path: Path) -> None:
    """Integers are exact, and nothing is rounded to zero."""
    sizes = {"tiny": 1e-9, "half": -0.5, "exact": 2**70, "huge": 1e300, "endless": 10**500, "order_id": 1234567}
    async with crm_gateway(start, tmp_path, {"sizes": sizes}) as crm, visiting(browser, crm) as visitor:
        facts = card(await signs_in(visitor, crm), "sizes")
        await expect(fact(facts, "Tiny")).to_have_text("1e-9")
        await expect(fact(facts, "Half")).to_have_text("-0.5")
        await expect(fact(facts, "Exact")).to_have_text("1,180,591,620,717,411,303,424")
        await expect(fact(facts, "Huge")).to_have_text("1e+300")
        await expect(fact(facts, "Endless")).to_have_text(re.compile("^100,000,.*…$"))
        await expect(fact(facts, "Order ID")).to_have_text("1234567")


@pytest.mark.full
async def test_the_order_is_that_of_the_file(browser: Browser, start: Start, tmp_path: Path) -> None:
    """Also for a panel that is named like one of the packaged file but has other data; a panel of other roles has no
    card."""
    own = """[panels.secret]
service = "crm"
get = "/secret?of={user_id}"
kind = "object"
timeout_ms = 10000
roles = ["admin"]
"""
    panels = {"points": {"points": 7}, "notifications": [{"item": "Tea"}], "contract": None}
    async with crm_gateway(start, tmp_path, panels, more=own) as crm, visiting(browser, crm) as visitor:
        page = await signs_in(visitor, crm)
        await shows(page, "contract", "fresh")
        await expect(page.locator(".card:visible")).to_have_count(3)
        assert await page.locator(".card:visible").evaluate_all(ORDER) == ["points", "notifications", "contract"]
        await expect(card(page, "notifications").get_by_role("cell")).to_have_text("Tea")


@pytest.mark.full
async def test_a_failure_is_shown_on_its_card(browser: Browser, start: Start, tmp_path: Path) -> None:
    """The last known values stay, with their age; without any, the card says why. It recovers by itself, if it may."""
    async with crm_gateway(start, tmp_path, **SOON) as crm, visiting(browser, crm) as visitor:
        crm.answers("contract", {}, 500)
        page = await signs_in(visitor, crm)
        await expect(card(page, "contract")).to_contain_text("cannot be shown now: the service gave a wrong answer.")
        await expect(card(page, "contract")).to_contain_text("It comes back by itself")
        await shows(page, "customer", "fresh")
        crm.answers("customer", {}, 500)
        await shows(page, "customer", "stale")
        await expect(card(page, "customer")).to_contain_text("As it was at")
        await expect(fact(card(page, "customer"), "Tier")).to_have_text("Gold")
        crm.answers("customer", {"tier": "Silver"})
        await expect(fact(card(page, "customer"), "Tier")).to_have_text("Silver")


@pytest.mark.full
async def test_a_panel_that_this_person_cannot_have(browser: Browser, start: Start, tmp_path: Path) -> None:
    """The card says whether it is the service or the sign-in, and promises nothing."""
    numbered = """[panels.numbered]
service = "crm"
get = "/numbered/{claim:customer_no}"
kind = "object"
timeout_ms = 10000
"""
    async with (
        crm_gateway(start, tmp_path, {"points": {}}, 'forward = ["Authorization"]', numbered) as crm,
        visiting(browser, crm) as visitor,
    ):
        crm.answers("points", {}, 403)
        page = await signs_in(visitor, crm)
        for panel, words in {
            "points": "the service does not allow you to see it",
            "numbered": "your sign-in does not contain the information that it needs",
        }.items():
            await expect(card(page, panel)).to_contain_text(words)
            await expect(card(page, panel)).not_to_contain_text("by itself")
        await is_accessible(page)


@pytest.mark.full
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_cards_fit_and_are_accessible(browser: Browser, start: Start, tmp_path: Path, scheme: Scheme) -> None:
    """At 360 pixels only tables scroll sideways; axe finds no violations with everything open."""
    data = {"customer": CUSTOMER | {"x" * 90: "y" * 200}, "tickets": TICKETS}
    async with (
        crm_gateway(start, tmp_path, data) as crm,
        visiting(browser, crm, width=360, height=740, scheme=scheme) as visitor,
    ):
        page = await signs_in(visitor, crm)
        await shows(page, "tickets", "fresh")
        await page.locator("summary").first.click()
        await is_accessible(page)
        assert await page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.full
async def test_the_cards_by_keyboard(browser: Browser, start: Start, tmp_path: Path) -> None:
    """Tab reaches everything; the focus stays when a row is opened, and when the panel changes meanwhile."""
    async with crm_gateway(start, tmp_path, **SOON) as crm, visiting(browser, crm) as visitor:
        page = await signs_in(visitor, crm)
        tickets = card(page, "tickets")
        await expect(tickets.locator("tbody > tr")).to_have_count(8)
        await watch_focus(page)
        await tab_reaches_everything(page)
        summary = tickets.locator("summary").first
        await stays(summary)
        crm.answers("tickets", [TICKETS[0] | {"subject": "Solved"}, *TICKETS[1:]])
        await expect(tickets.locator("tbody > tr").first).to_contain_text("Solved")
        await expect(summary).to_be_focused()
        await press(tickets.get_by_role("button", name="Show more"))
        await expect(tickets.locator("tbody > tr")).to_have_count(20)
        await never_lost_focus(page)


@pytest.mark.full
async def test_a_changed_file_is_offered_to_open_pages(browser: Browser, start: Start, tmp_path: Path) -> None:
    """The page says that it has been updated; after a reload it has the new panel, and the session continues."""
    async with crm_gateway(start, tmp_path, {"points": {"points": 7}}) as crm, visiting(browser, crm) as visitor:
        page = await signs_in(visitor, crm)
        await shows(page, "points", "fresh")
        crm.answers("more", {"level": 3})
        changed = (
            crm.path.read_text()
            + '[panels.more]\nservice = "crm"\nget = "/more"\nkind = "object"\ntimeout_ms = 10000\n'
        )
        await asyncio.to_thread(crm.path.write_text, changed)
        notice = page.locator(".toast")
        await expect(notice).to_contain_text("This page has been updated.")
        await is_accessible(page)
        await notice.get_by_role("button", name="Reload").click()
        await expect(fact(card(page, "more"), "Level")).to_have_text("3")
        await expect(fact(card(page, "points"), "Points")).to_have_text("7")
