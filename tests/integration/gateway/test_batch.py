"""Many users' dashboards in one request."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.http.tokens import Role
from shared.ids import new_id
from tests.support.gateway.stub import PANEL_DATA, Exchange, StubService, hang, replies
from tests.support.gateway.world import Start, World
from tests.support.waiting import eventually

PATH = "/v1/dashboards/batch"


async def batch(
    world: World, user_ids: list[Any], query: str = "", role: Role = "admin", **more: Any
) -> httpx.Response:
    body = {"user_ids": [str(user_id) for user_id in user_ids]}
    return await world.client.post(PATH + query, json=body | more, headers=world.bearer(role=role))


def without(missing: UUID, panel: str) -> Any:
    """Answer a panel query like a service that does not know this user."""

    async def answer(exchange: Exchange) -> None:
        found = {user_id: PANEL_DATA[panel] for user_id in exchange.request.ids if user_id != str(missing)}
        await exchange.reply_items({panel: found})

    return answer


def calls(service: StubService, panel: str) -> int:
    return len(service.queries(panel))


async def test_a_hundred_dashboards_are_a_handful_of_calls(world: World) -> None:
    """Each dashboard is complete, and for each panel there are a few calls, not a hundred."""
    user_ids = [new_id() for _ in range(100)]
    answer = (await batch(world, user_ids)).raise_for_status()
    body = answer.json()
    assert body["errors"] == {}
    assert list(body["items"]) == [str(user_id) for user_id in user_ids]
    for user_id, dashboard in body["items"].items():
        assert (dashboard["user_id"], dashboard["complete"]) == (user_id, True)
        assert {name: panel["data"] for name, panel in dashboard["panels"].items()} == PANEL_DATA
    asked = {"user": world.users, "orders": world.orders, "notifications": world.worker, "analytics": world.worker}
    assert all(calls(service, panel) <= 3 for panel, service in asked.items())
    assert answer.headers["Cache-Control"] == "private, no-store"


async def test_who_fails_fails_alone(world: World) -> None:
    """An unknown user has a problem instead of a dashboard; the others have theirs."""
    known, unknown = new_id(), new_id()
    world.users.behaviours["user"] = without(unknown, "user")
    body = (await batch(world, [known, unknown])).raise_for_status().json()
    assert list(body["items"]) == [str(known)]
    problem = body["errors"][str(unknown)]
    assert (problem["status"], problem["code"]) == (404, "user_not_found")
    assert problem.keys() == {"type", "title", "status", "detail", "code"}


async def test_a_panel_that_fails_is_missing_in_each(world: World) -> None:
    """Dashboards are partial, like a single one."""
    world.orders.behaviours["orders"] = replies(b"", 500)
    body = (await batch(world, [new_id(), new_id()])).raise_for_status().json()
    for dashboard in body["items"].values():
        assert dashboard["complete"] is False
        assert dashboard["panels"]["orders"]["status"] == "unavailable"
        assert dashboard["panels"]["user"]["status"] == "fresh"


async def test_where_nothing_can_be_shown(world: World) -> None:
    """The response is 200 nevertheless; each user's problem says to try again."""
    for service in (world.users, world.orders, world.worker):
        service.behaviours |= dict.fromkeys(PANEL_DATA, replies(b"", 500))
    user_id = new_id()
    body = (await batch(world, [user_id])).raise_for_status().json()
    assert body == {"items": {}, "errors": {str(user_id): body["errors"][str(user_id)]}}
    assert (body["errors"][str(user_id)]["status"], body["errors"][str(user_id)]["code"]) == (503, "no_panel_available")


async def test_a_defect_of_ours_costs_one_user(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any exception for one user does not affect the dashboards of the others."""
    good, bad = new_id(), new_id()
    read = world.gateway.dashboards.read

    async def broken(user_id: UUID, *given: Any, **named: Any) -> Any:
        if user_id == bad:
            raise ZeroDivisionError
        return await read(user_id, *given, **named)

    monkeypatch.setattr(world.gateway.dashboards, "read", broken)
    body = (await batch(world, [bad, good])).raise_for_status().json()
    assert list(body["items"]) == [str(good)]
    assert body["errors"][str(bad)]["status"] == 500


async def test_panels_and_budget_as_for_one(world: World) -> None:
    """Only the requested panels are read, within one budget for all users together."""
    world.users.behaviours["user"] = hang
    user_ids = [new_id() for _ in range(20)]

    async def orders_are_in_time() -> bool:
        """The panel may be late on a busy machine."""
        asked = calls(world.users, "user")
        body = (await batch(world, user_ids, "?panels=user,orders&budget_ms=200")).raise_for_status().json()
        assert calls(world.users, "user") <= asked + 3
        for dashboard in body["items"].values():
            assert dashboard["panels"].keys() == {"user", "orders"}
            assert dashboard["panels"]["user"]["error"]["code"] == "timeout"
        return len(body["items"]) == len(user_ids)

    await eventually(orders_are_in_time)
    assert not world.worker.asked
    assert (await batch(world, user_ids, "?panels=secrets")).status_code == 422
    assert (await batch(world, user_ids, "?budget_ms=0")).status_code == 422


async def test_the_same_user_twice(world: World) -> None:
    """The same user counts once, however the id is written; an empty batch is valid, too."""
    user_id = new_id()
    body = (await batch(world, [user_id, str(user_id).upper(), user_id.hex])).raise_for_status().json()
    assert list(body["items"]) == [str(user_id)]
    assert (await batch(world, [])).json() == {"items": {}, "errors": {}}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user_ids": [str(new_id())] * 3 + ["x"]}, "user_ids.3"),
        ({"user_ids": [None]}, "user_ids.0"),
        ({"user_ids": [str(new_id())] * 101}, "user_ids"),
        ({"user_ids": "x"}, "user_ids"),
        ({}, "user_ids"),
        ({"user_ids": [], "role": "admin"}, "role"),
    ],
    ids=["no id", "null", "too many", "no list", "missing", "unknown field"],
)
async def test_what_is_no_batch(world: World, body: dict[str, Any], field: str) -> None:
    """The response is 422 and names the error; no service is called."""
    answer = await world.client.post(PATH, json=body, headers=world.bearer(role="admin"))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert not world.users.asked


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 50_000, b"\xff", b"null"], ids=lambda content: repr(content)[:12]
)
async def test_what_is_no_json(world: World, content: bytes) -> None:
    """The response is a 4xx problem."""
    headers = world.bearer(role="admin") | {"Content-Type": "application/json"}
    answer = await world.client.post(PATH, content=content, headers=headers)
    assert (answer.status_code // 100, answer.headers["Content-Type"]) == (4, "application/problem+json")


async def test_only_administrators(world: World) -> None:
    """Others receive 403, also for their own dashboard and for support, and 401 without a token. No service is
    called."""
    for role in ("user", "support"):
        user_id = new_id()
        answer = await world.client.post(PATH, json={"user_ids": [str(user_id)]}, headers=world.bearer(user_id, role))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await world.client.post(PATH, json={"user_ids": []})).status_code == 401
    assert not world.users.asked


async def test_what_was_known_last(start: Start) -> None:
    """If a service fails, each user's panel has its last known good value."""
    async with start() as world:
        user_ids = [new_id(), new_id()]
        await batch(world, user_ids)

        async def written() -> bool:
            return len([key async for key in world.redis.scan_iter(f"*{user_ids[1]}*")]) > 0

        await eventually(written)
        world.orders.behaviours["orders"] = replies(b"", 500)
        body = (await batch(world, user_ids)).raise_for_status().json()
        assert [d["panels"]["orders"]["status"] for d in body["items"].values()] == ["stale", "stale"]


async def test_it_is_described(world: World) -> None:
    """The document has its body, its query and both kinds of responses."""
    document = (await world.client.get("/openapi.json")).json()
    operation = document["paths"][PATH]["post"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {"panels", "budget_ms"}
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    assert answer["items"]["additionalProperties"]["$ref"].rpartition("/")[2] in document["components"]["schemas"]
    assert operation["security"]
