"""Amounts on the page, in every currency."""

import asyncio
import csv
import io
import json
import re

import pytest
from playwright.async_api import Browser, expect

from shared.money import MINOR_DIGITS, format_money
from tests.support.stack.browser import needs_browser, visiting
from tests.support.stack.running import PATIENCE_S, Person, Stack
from tests.support.waiting import eventually, wait_until

pytestmark = [pytest.mark.e2e, needs_browser]

AMOUNTS = (0, 7, 123456, 99_999_999, 23 * 9 * 10**18 + 1)
MOST_TYPED = 10**9
FORMATTED = """async ([text, mostTyped]) => {
    const assets = document.querySelector("script[type=module]").src.replace(/main[.]js$/, "");
    const [{ money, toMinor }, { parse }] = [await import(`${assets}format.js`), await import(`${assets}json.js`)];
    return parse(text).map(([minor, currency, typed]) => [
        money(minor, currency), minor > mostTyped || toMinor(typed, currency) === minor]);
}"""


def number(text: str) -> str:
    """Return the digits without currency and separators."""
    return re.sub(r"[^0-9.]", "", text)


def reported(person: Person, unit_price: int) -> dict[str, str]:
    """Return the totals of an order in a report, by currency."""
    header = "reference,currency,sku,name,quantity,unit_price,ordered_at\n"
    lines = (f"{code},{code},tea,Tea,1,{unit_price},2026-01-01T12:00:00Z\n" for code in MINOR_DIGITS)
    answer = person.http.post("/v1/imports", files={"file": ("orders.csv", header + "".join(lines))})
    imported = answer.raise_for_status().headers["Location"]
    wait_until(lambda: person.http.get(imported).json()["state"] == "completed", PATIENCE_S)
    period = {"kind": "orders", "from": "2026-01-01", "to": "2026-01-01"}
    report = person.http.post("/v1/reports", json=period).raise_for_status().headers["Location"]
    text = person.http.get(f"{report}/download").raise_for_status().content.decode("utf-8-sig")
    return {row["currency"]: row["total"] for row in csv.DictReader(io.StringIO(text))}


@pytest.mark.full
async def test_an_amount_is_the_same_in_a_report(browser: Browser, stack: Stack, person: Person) -> None:
    """In each currency, the page shows the digits of the report."""
    totals = await asyncio.to_thread(reported, person, 123456)
    assert totals.keys() == MINOR_DIGITS.keys()
    text = json.dumps([(123456, currency, total) for currency, total in totals.items()])
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        shown = await page.evaluate(FORMATTED, [text, MOST_TYPED])
    assert [number(amount) for amount, _ in shown] == list(totals.values())
    assert all(is_read_back for _, is_read_back in shown)


@pytest.mark.full
async def test_an_amount_is_the_same_on_the_page_and_in_a_mail(browser: Browser, stack: Stack, person: Person) -> None:
    """In each currency, however large it is, the page writes the digits that mails write, and its form reads them."""
    for currency, unit_price in (("HUF", 123456), ("IQD", 1234567), ("JPY", 1500)):
        await asyncio.to_thread(person.order, unit_price=unit_price, currency=currency)
    amounts = [(minor, currency) for currency in (*MINOR_DIGITS, "DEM") for minor in AMOUNTS]
    written = [number(format_money(*amount)) for amount in amounts]
    text = json.dumps([(*amount, typed) for amount, typed in zip(amounts, written, strict=True)])
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        rows = page.locator("tr[data-order]")
        for total in ("HUF 1,234.56", "IQD 1,234.567", "¥1,500"):
            await expect(rows.filter(has_text=total)).to_have_count(1)
        shown = await page.evaluate(FORMATTED, [text, MOST_TYPED])
    assert [number(amount) for amount, _ in shown] == written
    assert all(is_read_back for _, is_read_back in shown)

    await eventually(lambda: len(stack.mails(person.email)) == 3, PATIENCE_S)
    mails = "".join(mail.text() for mail in stack.mails(person.email))
    for total in ("1,234.56 HUF", "1,234.567 IQD", "1,500 JPY"):
        assert f"Total: {total}" in mails


@pytest.mark.full
async def test_the_currency_of_the_most_orders_comes_first(browser: Browser, stack: Stack, person: Person) -> None:
    """It comes first in the figures and in the chart, whatever the amounts. A choice is kept after new orders and a
    reload."""
    for currency, unit_price in (("EUR", 99_999), ("HUF", 100), ("HUF", 100)):
        await asyncio.to_thread(person.order, unit_price=unit_price, currency=currency)
    await eventually(lambda: person.panel("analytics")["orders"] == 3, PATIENCE_S)
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        spent, choice = page.locator(".figure").first, page.get_by_role("group", name="Currency")
        await expect(spent).to_contain_text("HUF 2.00€999.99")
        await expect(choice.get_by_role("button", pressed=True)).to_have_text("HUF")
        await choice.get_by_role("button", name="EUR").click()
        await asyncio.to_thread(person.order, unit_price=100, currency="HUF")
        await expect(spent).to_contain_text("HUF 3.00")
        await expect(choice.get_by_role("button", pressed=True)).to_have_text("EUR")
        await page.reload()
        await expect(choice.get_by_role("button", pressed=True)).to_have_text("EUR")
