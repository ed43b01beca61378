"""One order, through every process, is one trace."""

import json
import subprocess
import sys
from uuid import uuid4

import pytest
from playwright.async_api import Browser

from tests.support.stack.browser import needs_browser, visiting
from tests.support.stack.running import PATIENCE_S, Person, Stack
from tests.support.stack.trace_picture import order_in_page
from tests.support.waiting import eventually, wait_until
from tools.devstack.traces import Span, Traces

pytestmark = pytest.mark.e2e

JOBS = ("email", "analytics", "notifications", "webhooks")
BEFORE = "2" * 16
"""The span of the client."""
PATH_TO_MAIL = [
    ("gateway", "POST /v1/orders"),
    ("gateway", "POST"),
    ("orders", "POST /v1/orders"),
    ("orders", "postgresql"),
    ("orders", "publish events"),
    ("worker", "process worker.email"),
    ("worker", "send mail"),
]


def placed(stack: Stack, person: Person) -> list[Span]:
    """Place an order, and return its spans once all have arrived."""
    begun, traces = uuid4().hex, Traces(stack.folder / "traces.sqlite")
    item = {"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price": 1250}
    headers = {"traceparent": f"00-{begun}-{BEFORE}-00"}
    answer = person.http.post("/v1/orders", json={"currency": "EUR", "items": [item]}, headers=headers)
    assert answer.raise_for_status().headers["traceresponse"].split("-")[1] == begun
    wanted = {name for _, name in PATH_TO_MAIL} | {f"process worker.{job}" for job in JOBS}
    found: list[Span] = []

    def are_there() -> bool:
        found[:] = traces.get(begun)
        ids = {span.span_id for span in found} | {BEFORE}
        return wanted <= {span.name for span in found} and all(span.parent_id in ids for span in found)

    wait_until(are_there, PATIENCE_S)
    return found


def test_an_order_is_one_trace_from_its_request_to_its_mail(stack: Stack, person: Person) -> None:
    """The order is in the trace that the client started, with each span below the one that caused it, in the order of
    time."""
    spans = placed(stack, person)
    by_id = {span.span_id: span for span in spans}
    [mail] = [span for span in spans if span.name == "send mail"]
    path = [mail]
    while path[0].parent_id in by_id:
        path.insert(0, by_id[path[0].parent_id])
    assert [(span.service, span.name) for span in path] == PATH_TO_MAIL
    assert path[0].parent_id == BEFORE
    assert [span.began for span in path] == sorted(span.began for span in path)
    [published] = [span for span in spans if span.name == "publish events"]
    caused = {span.name for span in spans if span.parent_id == published.span_id}
    assert caused == {f"process worker.{job}" for job in JOBS}


def test_nobody_can_be_told_from_a_trace(stack: Stack, person: Person) -> None:
    """A trace contains no user id, no address, and no ordered items."""
    said = json.dumps([span.attributes | {"name": span.name} for span in placed(stack, person)])
    for personal in (person.id, person.email, "Ann", "tea", "127.0.0.1"):
        assert personal not in said


def test_the_command_shows_it(stack: Stack, person: Person) -> None:
    """The command shows it by the prefix of its id, as a waterfall or as JSON, and in the list of the newest traces."""
    trace_id = placed(stack, person)[0].trace_id
    shown = _trace(stack, trace_id[:12])
    assert trace_id in shown
    assert "send mail" in shown
    assert {span["trace_id"] for span in json.loads(_trace(stack, trace_id, "--json"))} == {trace_id}
    assert trace_id in [one["trace_id"] for one in json.loads(_trace(stack, "--json", "--count", "100"))]


@pytest.mark.full
@needs_browser
async def test_a_click_in_the_page_begins_the_trace(browser: Browser, stack: Stack, person: Person) -> None:
    """The page starts the trace, the gateway records it, and it includes the mail; the page's policy allows this."""
    async with visiting(browser, stack) as visitor:
        trace_id = await order_in_page(await visitor.at_home(person))
    traces = Traces(stack.folder / "traces.sqlite")
    await eventually(lambda: "send mail" in {span.name for span in traces.get(trace_id)}, PATIENCE_S)


def _trace(stack: Stack, *arguments: str) -> str:
    command = [sys.executable, "-m", "tools.cli.main", "trace", *arguments, "--data-dir", str(stack.folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout
