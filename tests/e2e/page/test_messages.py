"""The page's error messages, written for people and selected by the code of the problem."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.support.problems import every_code, every_status
from tests.support.stack.browser import fill_order, needs_browser, visiting
from tests.support.stack.running import PASSWORD, Person, Stack

pytestmark = [pytest.mark.e2e, needs_browser]

WORDS = """async (problems) => {
  const main = document.querySelector("script[type=module]").src;
  const { hasWordsFor, wordsFor } = await import(new URL("messages.js", main));
  return problems.map(([code, status]) => [code, hasWordsFor(code), wordsFor(code, status)]);
}"""
MACHINE_WORDS = re.compile(r"_|Value error|items\.\d|Idempotency|login-account|\bat most \d+ in\b|undefined|null|\d{3}")


@pytest.mark.full
async def test_every_code_has_words(browser: Browser, stack: Stack) -> None:
    """Each code of the API and each status has its own sentence; none contains a code, a field or a status."""
    codes = sorted(every_code())
    assert len(codes) > 40
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        told: list[tuple[str, bool, str]] = await page.evaluate(WORDS, [[code, 422] for code in codes])
        assert [code for code, known, _ in told if not known] == []
        told += await page.evaluate(WORDS, every_status())
        for code, _, words in told:
            assert re.fullmatch(r"[A-Z].+\.", words), code
            assert not MACHINE_WORDS.search(words), (code, words)


def problem(status: int, code: str, *fields: str, **headers: str) -> dict[str, Any]:
    """Return a response of the API, with its technical texts."""
    errors = [{"field": field, "message": "Value error, not this"} for field in fields]
    body = {"status": status, "code": code, "title": "Machine", "detail": "login-account: at most 10 in 300 s"}
    return {
        "status": status,
        "headers": {"Content-Type": "application/problem+json", **headers},
        "body": json.dumps({**body, "errors": errors}),
    }


async def _answered(page: Page, path: str, method: str, *answers: dict[str, Any]) -> list[str | None]:
    """Replace the first responses of the server by these, and collect the idempotency keys of all such requests."""
    waiting = list(answers)
    keys: list[str | None] = []

    async def answer(route: Route) -> None:
        if route.request.method != method:
            await route.continue_()
            return
        keys.append(await route.request.header_value("Idempotency-Key"))
        if not waiting:
            await route.continue_()
        elif told := waiting.pop(0):
            await route.fulfill(**told)
        else:
            await route.abort()

    await page.route(path, answer)
    return keys


NO_ANSWER: dict[str, Any] = {}


@pytest.mark.full
async def test_what_is_refused_is_said_for_people(browser: Browser, stack: Stack, person: Person) -> None:
    """The page says when to try again, which field of which line is wrong, and what to do, without texts of the API."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        await _answered(page, "**/web/session", "POST", problem(429, "rate_limited", **{"Retry-After": "290"}))
        await page.get_by_label("E-mail").fill(person.email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.locator("form [role=alert]")).to_have_text("Too many attempts. Try again in 5 minutes.")
        await page.keyboard.press("Enter")
        await expect(page.locator(".account")).to_be_visible()

        refused = problem(422, "invalid_input", "items.1.quantity")
        await _answered(page, "**/v1/orders", "POST", refused, problem(422, "invalid_input", "header"))
        await page.get_by_role("button", name="New order").click()
        await page.get_by_role("button", name="Add a line").click()
        dialog = page.get_by_role("dialog")
        for line in (0, 1):
            for label, text in (("Item", "Tea"), ("SKU", "tea"), ("Price each", "1")):
                await dialog.get_by_label(label).nth(line).fill(text)
        place = page.get_by_role("button", name="Place order")
        await place.click()
        quantity = dialog.get_by_label("Quantity").nth(1)
        await expect(quantity).to_have_attribute("aria-invalid", "true")
        await expect(quantity).to_be_focused()
        await expect(dialog.locator(".wrong")).to_have_text("Enter 1 to 10,000.")
        await place.click()
        await expect(dialog.get_by_role("alert")).to_contain_text("Check what you have entered")
        await dialog.get_by_label("Quantity").nth(1).fill("0")
        await dialog.get_by_label("Price each").nth(1).fill("12.345")
        await dialog.get_by_label("SKU").nth(1).fill("")
        await place.click()
        await expect(dialog.locator(".wrong")).to_have_count(3)
        tops = await dialog.locator("fieldset:nth-of-type(2) input").evaluate_all(
            "(inputs) => [...new Set(inputs.map((each) => each.getBoundingClientRect().top))]"
        )
        assert len(tops) == 1
        await dialog.get_by_label("Currency").select_option("JPY")
        await dialog.get_by_label("Price each").nth(1).fill("12.5")
        await place.click()
        await expect(dialog.get_by_text("Enter an amount such as 1250.")).to_be_visible()


@pytest.mark.full
async def test_an_order_without_an_answer_is_sent_again(browser: Browser, stack: Stack, person: Person) -> None:
    """The order is sent again with the same key until there is a response, so that it is placed once."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.at_home(person)
        soon = {"Retry-After": "0"}
        answers = (problem(504, "outcome_unknown", **soon), problem(409, "request_in_flight", **soon), NO_ANSWER)
        keys = await _answered(page, "**/v1/orders", "POST", *answers)
        await page.get_by_role("button", name="New order").click()
        await fill_order(page, "Green tea", "12.50")
        await page.get_by_role("button", name="Place order").click()
        await expect(page.locator("tr[data-order]")).to_have_count(1)
        await expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(keys) == 4
    assert len(set(keys)) == 1


NOTICES = """async () => {
  const main = document.querySelector("script[type=module]").src;
  const { toast } = await import(new URL("dom.js", main));
  toast("An error", { stays: true });
  for (const number of [1, 2, 3, 4]) toast(`News ${number}`);
}"""


@pytest.mark.full
async def test_an_error_stays_until_it_is_dismissed(browser: Browser, stack: Stack) -> None:
    """Of many notices the oldest disappear first, but never an error."""
    async with visiting(browser, stack) as visitor:
        page = await visitor.opens()
        await expect(page.get_by_label("Password")).to_be_visible()
        await page.evaluate(NOTICES)
        assert await page.locator(".toast > span").all_inner_texts() == ["An error", "News 3", "News 4"]
        await page.locator(".toast").first.get_by_role("button", name="Dismiss").click()
        await expect(page.get_by_text("An error")).to_have_count(0)
