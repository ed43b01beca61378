"""Many dashboards at once: few calls, and nobody's trouble becomes another's."""

import asyncio
import contextlib
from collections.abc import Mapping

import httpx
import pytest
from prometheus_client import generate_latest

from shared.contracts.panels import MAX_IDS
from shared.ids import new_id
from tests.support.gateway import stub
from tests.support.gateway.declared import PANELS
from tests.support.gateway.patience import set_timeouts
from tests.support.gateway.stub import PANEL_DATA, Behaviour, Exchange, replies
from tests.support.gateway.world import Start, World
from tests.support.served import listening
from tests.support.waiting import eventually

MANY = 100
OTHERS = [panel.name for panel in PANELS if panel.service != "orders"]


async def dashboards(world: World, count: int, query: str = "") -> list[httpx.Response]:
    return list(
        await asyncio.gather(*(world.client.get(f"/v1/dashboard{query}", headers=world.bearer()) for _ in range(count)))
    )


def ids_asked(service: stub.StubService, panel: str) -> list[list[str]]:
    return [query.ids for query in service.queries(panel)]


async def is_idle(world: World) -> bool:
    return world.gateway.reader.is_idle and not any(
        service.active for service in (world.users, world.orders, world.worker)
    )


def held(until: asyncio.Event, then: Behaviour = stub.answer_panel) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await until.wait()
        await then(exchange)

    return behave


@pytest.mark.full
async def test_many_callers_make_few_calls(world: World) -> None:
    """While calls are in flight questions gather; each caller gets their own answer, and no call is too large."""
    go = asyncio.Event()
    world.orders.behaviours["orders"] = held(go)
    asking = asyncio.create_task(dashboards(world, MANY, "?panels=orders"))
    await eventually(lambda: world.orders.active)
    go.set()
    answers = await asking
    assert all(answer.json()["complete"] for answer in answers)
    asked = ids_asked(world.orders, "orders")
    assert len(asked) <= MANY / 4
    assert max(map(len, asked)) <= MAX_IDS
    assert sorted(user_id for ids in asked for user_id in ids) == sorted(answer.json()["user_id"] for answer in answers)


async def test_the_same_user_is_asked_for_once(start: Start) -> None:
    """Concurrent requests share one flight; `no-cache` and a change before the request make a new one."""
    async with start(batch_patience_s=10) as world:
        user_id, go = new_id(), asyncio.Event()
        headers = world.bearer(user_id)
        world.orders.behaviours["orders"] = held(go)

        async def ask(more: dict[str, str]) -> httpx.Response:
            return await world.client.get("/v1/dashboard?panels=orders", headers=headers | more)

        tasks = [asyncio.create_task(ask({})) for _ in range(5)]
        await eventually(lambda: len(ids_asked(world.orders, "orders")) == 1)
        tasks.append(asyncio.create_task(ask({"Cache-Control": "no-cache"})))
        await eventually(lambda: len(ids_asked(world.orders, "orders")) == 2)
        world.gateway.reader.in_flight.drop(str(user_id))
        tasks.append(asyncio.create_task(ask({})))
        go.set()
        assert all(answer.json()["complete"] for answer in await asyncio.gather(*tasks))
        assert ids_asked(world.orders, "orders") == [[str(user_id)]] * 3


async def test_a_short_deadline_is_ones_own(start: Start) -> None:
    """Of two who wait for one call the hasty one times out, and the patient one gets the answer."""
    async with start(retry_share=0) as world:
        go, headers = asyncio.Event(), world.bearer()
        world.orders.behaviours["orders"] = held(go)
        patient = asyncio.create_task(world.client.get("/v1/dashboard", headers=world.bearer()))

        async def is_late() -> bool:
            """On a busy machine, the other panels may be too late for once."""
            answer = (await world.client.get("/v1/dashboard?budget_ms=200", headers=headers)).json()
            if "panels" not in answer:
                return False
            assert answer["panels"]["orders"]["error"]["code"] == "timeout"
            return bool(answer["panels"]["user"]["status"] == "fresh")

        await eventually(is_late)
        go.set()
        answer = (await patient).json()
        assert answer["complete"]
        asked = ids_asked(world.orders, "orders")
        assert len(asked[0]) == 2
        assert [answer["user_id"] in ids for ids in asked] == [True] + [False] * (len(asked) - 1)


async def test_the_hasty_do_not_cut_short_the_patient(start: Start) -> None:
    """A caller with a short budget begins a read and times out; others get the answer when it comes."""
    async with start(retry_share=0) as world:
        go, headers = asyncio.Event(), world.bearer()
        world.orders.behaviours["orders"] = held(go)
        hasty = asyncio.create_task(world.client.get("/v1/dashboard?panels=orders&budget_ms=300", headers=headers))
        await eventually(lambda: world.orders.active)
        url = "/v1/dashboard?panels=orders"
        patient = [asyncio.create_task(world.client.get(url, headers=headers)) for _ in range(3)]
        assert (await hasty).status_code == 503
        go.set()
        assert [answer.json()["complete"] for answer in await asyncio.gather(*patient)] == [True] * 3


async def test_a_bad_panel_in_a_batch_costs_its_user_only(world: World) -> None:
    """One user's rubbish within a good answer leaves the others' dashboards complete."""
    unlucky, go = new_id(), asyncio.Event()

    async def one_bad(exchange: Exchange) -> None:
        await go.wait()
        items = {user_id: {} if user_id == str(unlucky) else PANEL_DATA["orders"] for user_id in exchange.request.ids}
        await exchange.reply_items({"orders": items})

    world.orders.behaviours["orders"] = one_bad
    asking = asyncio.create_task(dashboards(world, 20))
    bad = asyncio.create_task(world.client.get("/v1/dashboard", headers=world.bearer(unlucky)))
    await eventually(lambda: world.orders.active)
    go.set()
    assert all(answer.json()["complete"] for answer in await asking)
    assert (await bad).json()["panels"]["orders"]["error"]["code"] == "bad_response"


FAULTS: Mapping[str, Behaviour] = {
    "resets": stub.reset,
    "500": replies(b"{}", 500),
    "hangs": stub.hang,
    "trickles": stub.trickle,
    "rubbish": stub.not_http,
}
SHORT = ("resets", "500")


@pytest.mark.parametrize(
    "fault",
    [pytest.param(each, id=name, marks=[] if name in SHORT else [pytest.mark.full]) for name, each in FAULTS.items()],
)
async def test_the_breaker_opens_and_closes_again(start: Start, fault: Behaviour) -> None:
    """A service that does not answer well is left alone, at once `circuit_open`; when it is well again, so is the
    dashboard. The panels of other services are fresh all the while."""
    settings = {"breaker_min_calls": 3, "breaker_open_s": 0.2, "breaker_probes": 1}
    async with start({"orders": 0.1}, **settings) as world:
        world.orders.behaviours["orders"] = fault
        seen = set()

        async def is_open() -> bool:
            panels = (await dashboards(world, 1))[0].json()["panels"]
            code = panels.pop("orders")["error"]["code"]
            assert {panels[name]["status"] for name in OTHERS} == {"fresh"}
            seen.add(code)
            return bool(code == "circuit_open")

        await eventually(is_open)
        assert seen <= {"timeout", "bad_response", "circuit_open"}
        del world.orders.behaviours["orders"]
        set_timeouts(world.gateway.catalog.panels, {})
        await eventually(lambda: _complete(world))


async def _complete(world: World) -> bool:
    return bool((await dashboards(world, 1))[0].json()["complete"])


async def test_refusals_open_nothing(start: Start) -> None:
    """4xx says that the question was wrong, not that the service is ill."""
    async with start(breaker_min_calls=3) as world:
        world.orders.behaviours["orders"] = replies(b"{}", 404)
        for answer in [(await dashboards(world, 1))[0] for _ in range(10)]:
            assert answer.json()["panels"]["orders"]["error"]["code"] == "bad_response"


async def test_a_full_bulkhead_is_overloaded(start: Start) -> None:
    """More calls than may be are not made, and say so; other services are not affected."""
    async with start(bulkhead_calls=1, batch_calls=2, retry_share=0) as world:
        go = asyncio.Event()
        world.orders.behaviours["orders"] = held(go)
        first = asyncio.create_task(dashboards(world, 1, "?panels=user,orders"))
        await eventually(lambda: world.orders.active)
        panels = (await dashboards(world, 1, "?panels=user,orders"))[0].json()["panels"]
        assert panels.pop("orders")["error"]["code"] == "overloaded"
        assert {panel["status"] for panel in panels.values()} == {"fresh"}
        go.set()
        assert (await first)[0].json()["complete"]


async def test_a_second_attempt_goes_to_the_other_replica(start: Start) -> None:
    """Once it is known how long most calls take, one that hangs is overtaken by another, at the next replica."""
    async with (
        stub.StubService().running() as sick,
        stub.StubService().running() as well,
        start(orders_url=f"{sick.url},{well.url}", retry_share=1) as world,
    ):
        for _ in range(30):
            await dashboards(world, 1, "?panels=orders")
        sick.behaviours["orders"] = stub.hang
        for _ in range(4):
            assert (await dashboards(world, 1, "?panels=orders"))[0].json()["complete"]
        await eventually(lambda: sick.active == 0)


async def test_a_failure_is_repeated_within_the_budget(start: Start) -> None:
    """One bad answer is made good by the next replica."""
    async with (
        stub.StubService().running() as sick,
        stub.StubService().running() as well,
        start(orders_url=f"{sick.url},{well.url}", retry_share=1) as world,
    ):
        sick.behaviours["orders"] = replies(b"{}", 500)
        for _ in range(6):
            assert (await dashboards(world, 1))[0].json()["complete"]


async def test_clients_that_leave_take_their_questions_with_them(start: Start) -> None:
    """Hundreds of clients who go away mid-request leave no task, no call and no connection to the services behind."""
    async with start(watch_client_after_s=0.01) as world, listening(world.app) as port:
        for service in (world.users, world.orders, world.worker):
            service.behaviours |= dict.fromkeys(PANEL_DATA, stub.hang)
        before = len(asyncio.all_tasks())
        (token,) = world.bearer().values()
        tokens = [token, *(next(iter(world.bearer().values())) for _ in range(9))]
        for _ in range(3):
            await asyncio.gather(*(_ask_and_leave(world, port, tokens[number % 10]) for number in range(100)))
            await eventually(lambda: is_idle(world))
        await eventually(lambda: len(asyncio.all_tasks()) <= before + 5)
        for service in (world.users, world.orders, world.worker):
            service.behaviours.clear()
        await eventually(lambda: _complete_or_forgotten(world))


async def _complete_or_forgotten(world: World) -> bool:
    """The services have been asked again: whatever was counted against them while clients left is over."""
    return (await dashboards(world, 1))[0].status_code == 200


async def _ask_and_leave(world: World, port: int, token: str) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /v1/dashboard HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
    await writer.drain()
    await eventually(lambda: world.orders.active)
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_state_is_in_the_metrics(world: World) -> None:
    """Breaker, bulkhead, batches and joined flights can be seen."""
    await dashboards(world, 2)
    told = generate_latest().decode()
    for name in ("breaker_state", "calls_in_flight", "batch_size_bucket", "panel_seconds_bucket", "panels_total"):
        assert f"gateway_{name}{{" in told
