"""What is recorded of a dashboard: where each panel came from, by which call, and in whose trace."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.gateway.upstream.single_flight import InFlightRead
from shared.ids import new_id
from shared.observability.telemetry import Trace
from tests.support.gateway.stub import Exchange, answer_panel, replies
from tests.support.gateway.world import Start, World
from tests.support.spans import Recorded, Spans, recorded
from tests.support.waiting import eventually

PANELS = ("user", "orders", "notifications", "analytics")


@pytest.fixture
async def spans() -> AsyncIterator[Spans]:
    with recorded() as spans:
        yield spans


def calls_for(spans: Spans, panel: str) -> list[Recorded]:
    calls = spans.all_named("POST /internal/panels")
    return [call for call in calls if panel in str(call.attributes["dashboard.call.panels"]).split(",")]


async def test_a_dashboard_is_its_request_its_panels_and_their_calls(world: World, spans: Spans) -> None:
    """Each call is under its panel, each panel under the request, and the service is told the call's position."""
    answer = await world.client.get("/v1/dashboard", headers=world.bearer())
    request = spans.named("GET /v1/dashboard")
    assert request.parent_id == ""
    for name in PANELS:
        panel, [call] = spans.named(f"panel {name}"), calls_for(spans, name)
        shares = name == "analytics"  # the call for notifications, which is of the same service
        assert panel.parent_id == request.trace.span_id
        assert panel.attributes == {
            "dashboard.panel": name,
            "dashboard.panel.source": "shared call" if shares else "call",
            "dashboard.panel.status": "fresh",
        }
        carrier = spans.parent_of(call)
        assert carrier is (spans.named("panel notifications") if shares else panel)
        assert panel.links == ([carrier.trace] if shares else [])
        service = {"user": world.users, "orders": world.orders}.get(name, world.worker)
        assert service.queries(name)[-1].values("traceparent") == [str(call.trace)]
        assert request.began <= carrier.began <= call.began <= call.ended <= request.ended
    assert answer.headers["traceresponse"] == str(request.trace)


async def test_nothing_personal_is_recorded(world: World, spans: Spans) -> None:
    """Neither who asked, nor for whom, nor what was answered."""
    user_id, admin = new_id(), new_id()
    await world.client.get(f"/v1/users/{user_id}/dashboard", headers=world.bearer(admin, "admin"))
    await world.client.get("/v1/orders?cursor=secret", headers=world.bearer(user_id))
    said = " ".join(f"{span.name} {span.attributes} {span.error}" for span in spans)
    assert "GET /v1/users/{id" in said
    for personal in (str(user_id), str(admin), "secret", "ada@example.com", "127.0.0.1"):
        assert personal not in said


async def test_a_call_for_several_belongs_to_the_first_and_is_named_by_the_others(world: World, spans: Spans) -> None:
    """Two users' questions leave together: one call, in one of the traces; the panel of the other links to it."""
    url = "/v1/dashboard?panels=orders"
    await asyncio.gather(*(world.client.get(url, headers=world.bearer(new_id())) for _ in range(2)))
    calls = calls_for(spans, "orders")
    asked = [call.attributes["dashboard.call.users"] for call in calls]
    panels = spans.all_named("panel orders")
    assert len(panels) == 2
    if asked == [2]:  # they may also have come one after the other
        carrier = spans.parent_of(calls[0])
        [other] = [panel for panel in panels if panel is not carrier]
        assert other.links == [carrier.trace]
        assert other.attributes["dashboard.panel.source"] == "shared call"
        assert carrier.links == []
    else:
        assert asked == [1, 1]


async def test_who_joins_a_question_links_to_its_call(world: World, spans: Spans) -> None:
    """The same user, twice at once: one question, under the panel of who asked first."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        asked.set()
        await go.wait()
        await answer_panel(exchange)

    world.orders.behaviours["orders"] = wait
    bearer, url = world.bearer(new_id()), "/v1/dashboard?panels=orders"
    first = asyncio.create_task(world.client.get(url, headers=bearer))
    await asked.wait()
    second = asyncio.create_task(world.client.get(url, headers=bearer))
    await eventually(lambda: any(read.waiters[1:] for read in _reads(world)))
    go.set()
    await asyncio.gather(first, second)
    [call] = calls_for(spans, "orders")
    carrier = spans.parent_of(call)
    [joined] = [panel for panel in spans.all_named("panel orders") if panel is not carrier]
    assert joined.links == [carrier.trace]


def _reads(world: World) -> list[InFlightRead]:
    return [read for reads in world.gateway.reader.in_flight._open.values() for read in reads.values()]


async def test_a_panel_that_fails_says_why_and_what_was_shown_instead(world: World, spans: Spans) -> None:
    """Each attempt is a span, with how it failed; what Redis knew is asked for, too."""
    world.worker.behaviours["analytics"] = replies(b"broken", 500)
    await world.client.get("/v1/dashboard?panels=user,analytics", headers=world.bearer())
    panel = spans.named("panel analytics")
    assert panel.error == "bad_response"
    assert panel.attributes["dashboard.panel.status"] == "unavailable"
    attempts = calls_for(spans, "analytics")
    assert {attempt.error for attempt in attempts} == {"BadAnswer"}
    assert spans.parent_of(spans.named("recall")) is spans.named("GET /v1/dashboard")
    assert spans.named("panel user").error is None


async def test_what_is_passed_on_is_a_call_within_the_request(world: World, spans: Spans) -> None:
    """And the service's own word on the trace is not passed back."""
    world.orders.behaviours["/v1/orders"] = lambda exchange: exchange.reply(b"{}", headers="traceresponse: no\r\n")
    answer = await world.client.post("/v1/orders", json={}, headers=world.bearer())
    call = spans.named("POST")
    request = spans.parent_of(call)
    assert request.name == "POST /v1/orders"
    assert world.orders.last("/v1/orders").values("traceparent") == [str(call.trace)]
    assert answer.headers.get_list("traceresponse") == [str(request.trace)]


@pytest.mark.parametrize(("trusted", "share", "count"), [("", 0, 0), ("127.0.0.0/8", 0, 1), ("10.0.0.0/8", 0, 0)])
async def test_only_clients_that_are_trusted_decide(start: Start, trusted: str, share: float, count: int) -> None:
    """By the address that the gateway knows them by."""
    caller = Trace("1" * 32, "2" * 16, "01")
    async with start(trace_trusted=trusted) as world:
        with recorded(share) as spans:
            headers = world.bearer() | {"traceparent": str(caller)}
            await world.client.get("/v1/dashboard", headers=headers)
    requests = spans.all_named("GET /v1/dashboard")
    assert len(requests) == count
    assert all(span.trace.trace_id == caller.trace_id for span in requests)
    query = world.orders.queries("orders")[-1].values("traceparent")[0]
    assert query.startswith(f"00-{caller.trace_id}-")
    assert query.endswith("-01" if count else "-00")
