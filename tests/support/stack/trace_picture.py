"""The picture of one trace: an order is placed on the page, and drawn as `dashboard trace` prints it."""

import asyncio
from functools import partial
from io import StringIO

from playwright.async_api import Browser, Page
from rich.console import Console

from tests.support.stack.browser import visiting
from tests.support.stack.running import Stack
from tests.support.waiting import eventually
from tools import demo
from tools.devstack.traces import Span, Traces, waterfall

COLUMNS = 158
LAST = {"send mail", *(f"process worker.{job}" for job in ("email", "analytics", "notifications", "webhooks"))}


async def order_in_page(page: Page) -> str:
    """Place an order on the page, and return the trace id that the page gave it; it is also that of the gateway."""
    await page.get_by_role("button", name="New order").click()
    form = page.get_by_role("dialog", name="New order")
    for label, text in {"Item": "Green tea", "SKU": "tea-100", "Quantity": "2", "Price each": "12.50"}.items():
        await form.get_by_label(label).fill(text)
    async with page.expect_response(lambda one: one.request.method == "POST" and one.url.endswith("/orders")) as told:
        await form.get_by_role("button", name="Place order").click()
    answer = await told.value
    trace_id = answer.request.headers["traceparent"].split("-")[1]
    assert (await answer.all_headers())["traceresponse"].split("-")[1] == trace_id
    return trace_id


async def take(browser: Browser, stack: Stack) -> bytes:
    """Take the picture, and return it as a PNG."""
    traces = Traces(stack.folder / "traces.sqlite")
    async with visiting(browser, stack) as visitor:
        page = await visitor.signs_in(demo.USER, password=demo.PASSWORD)
        for _ in range(3):  # the normal case: connections are open, and everything ran once before
            trace_id = await order_in_page(page)
            await eventually(partial(_is_whole, traces, trace_id))
    spans = await asyncio.to_thread(traces.get, trace_id)
    picture = await browser.new_page(viewport={"width": 1240, "height": 600}, device_scale_factor=2)
    await picture.set_content(drawn(spans))
    return await picture.locator("svg").first.screenshot()


def _is_whole(traces: Traces, trace_id: str) -> bool:
    return {span.name for span in traces.get(trace_id)} >= LAST


def drawn(spans: list[Span]) -> str:
    """Return a page with the waterfall."""
    console = Console(width=COLUMNS, record=True, file=StringIO())
    console.print(waterfall(spans, COLUMNS))
    return console.export_svg(title="dashboard trace")
