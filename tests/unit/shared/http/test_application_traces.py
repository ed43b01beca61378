"""Who decides whether a request's trace is recorded, and how the trace is returned."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.types import Scope

from shared.config.settings import ServiceSettings
from shared.errors import NotFound
from shared.http.application import create_app
from shared.observability import tracing
from shared.observability.probes import Checks, metrics
from shared.observability.telemetry import Trace
from tests.support.spans import recorded_here

CALLER = Trace("1" * 32, "2" * 16, "01")
router = APIRouter()


@router.get("/things/{id}")
async def thing(id: int, secret: str = "") -> int:  # noqa: A002, ARG001  the route's own names
    if id == 0:
        raise NotFound
    if id == 13:
        raise KeyError("ours")
    return id


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


async def _ping() -> None:
    with tracing.span("postgresql"):
        pass


def client(heeds: Callable[[Scope], bool] = lambda _: True) -> httpx.AsyncClient:
    settings = ServiceSettings(environment="development")
    app = create_app("things", settings, lifespan=_lifespan, routes=[router, metrics], heeds=heeds)
    app.state.checks = Checks()
    app.state.checks.needed["postgres"] = _ping
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://things")


async def test_a_request_is_one_span_under_its_callers() -> None:
    """The span is named by its route, never by its path; the response names the trace."""
    with recorded_here(share=0) as spans:
        async with client() as http:
            answer = await http.get("/things/7?secret=x", headers={"traceparent": str(CALLER)})
    [span] = spans
    assert span.name == "GET /things/{id}"
    assert (span.trace.trace_id, span.parent_id) == (CALLER.trace_id, CALLER.span_id)
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/things/{id}",
        "http.response.status_code": 200,
    }
    assert answer.headers["traceresponse"] == str(span.trace)


async def test_a_stranger_does_not_decide_what_is_recorded() -> None:
    """Its trace id is used, but the service decides whether the trace is recorded."""
    with recorded_here(share=0) as spans:
        async with client(heeds=lambda _: False) as http:
            answer = await http.get("/things/0", headers={"traceparent": str(CALLER)})
    assert spans == []
    assert "traceresponse" not in answer.headers
    assert answer.json()["trace_id"] == CALLER.trace_id
    with recorded_here(share=1) as spans:
        async with client(heeds=lambda _: False) as http:
            await http.get("/things/7", headers={"traceparent": str(CALLER).removesuffix("1") + "0"})
    assert [span.trace.trace_id for span in spans] == [CALLER.trace_id]


async def test_who_is_heeded_may_also_say_no() -> None:
    """A service does not record a trace that the gateway does not record."""
    with recorded_here(share=1) as spans:
        async with client() as http:
            await http.get("/things/7", headers={"traceparent": str(CALLER).removesuffix("1") + "0"})
    assert spans == []


async def test_failures_of_ours_are_errors_and_those_of_callers_are_not() -> None:
    """This depends on the status."""
    with recorded_here() as spans:
        async with client() as http:
            await http.get("/things/0")
            problem = (await http.get("/things/13")).json()
    missing, broken = spans
    assert missing.error is None
    assert broken.error == "500"
    assert problem["trace_id"] == broken.trace.trace_id


async def test_probes_begin_no_trace() -> None:
    """Probes arrive every few seconds, and neither they nor their checks are recorded."""
    with recorded_here() as spans:
        async with client() as http:
            await http.get("/livez")
            await http.get("/readyz", headers={"traceparent": str(CALLER)})
            await http.get("/metrics")
    assert spans == []


async def test_a_histogram_names_a_trace_to_who_accepts_openmetrics() -> None:
    """The plain text format does not support exemplars and does not change."""
    with recorded_here() as spans:
        async with client() as http:
            await http.get("/things/8")
            accepted = await http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
            plain = await http.get("/metrics")
    parsed = text_string_to_metric_families(accepted.text)  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    samples = families["http_request_duration_seconds"].samples
    exemplars = [one.exemplar.labels for one in samples if one.exemplar and one.labels["route"] == "/things/{id}"]
    assert {"trace_id": spans[0].trace.trace_id, "span_id": spans[0].trace.span_id} in exemplars
    assert spans[0].trace.trace_id not in plain.text
    assert plain.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/things/7", "/nowhere"])
async def test_without_recording_nothing_is_told(path: str) -> None:
    """There is no header, but every problem has its trace id."""
    async with client() as http:
        answer = await http.get(path)
    assert "traceresponse" not in answer.headers
    assert answer.status_code == 200 or len(answer.json()["trace_id"]) == 32
