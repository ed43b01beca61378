"""The dashboard, with healthy services."""

from uuid import UUID

import pytest

from shared.ids import new_id
from tests.support.gateway.stub import PANEL_DATA, replies
from tests.support.gateway.world import World


async def test_all_panels_are_fresh_and_in_order(world: World) -> None:
    """Every service's panel is returned unchanged, in the declared order, with correct headers."""
    user_id = new_id()
    response = await world.client.get("/v1/dashboard", headers=world.bearer(user_id))
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["user_id", "generated_at", "complete", "panels"]
    assert (body["user_id"], body["complete"], body["generated_at"][-1]) == (str(user_id), True, "Z")
    assert list(body["panels"]) == list(PANEL_DATA)
    for name, panel in body["panels"].items():
        assert panel == {"status": "fresh", "age_ms": 0, "data": PANEL_DATA[name]}
    assert response.headers["Dashboard-Complete"] == "true"
    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["Content-Type"] == "application/json"
    timing = response.headers["Server-Timing"].split(", ")
    assert [entry.split(";")[0] for entry in timing] == list(body["panels"])
    assert all(entry.endswith(";desc=fresh") for entry in timing)


async def test_services_are_told_who_asks_and_how_long(world: World) -> None:
    """A panel query has a service token, the remaining milliseconds, a trace and the request id."""
    headers = world.bearer() | {"X-Request-Id": "abc", "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    await world.client.get("/v1/dashboard?budget_ms=9000", headers=headers)
    query = world.orders.queries("orders")[-1]
    assert world.app.state.service_tokens.verify(query.values("authorization")[0].removeprefix("Bearer ")) == "gateway"
    assert 0 < int(query.values("request-deadline-ms")[0]) <= 9000
    assert query.values("x-request-id") == ["abc"]
    assert query.values("traceparent")[0].startswith(f"00-{'1' * 32}-")


async def test_only_the_panels_asked_for(world: World) -> None:
    """`panels` limits the calls to the services, and the response keeps the declared order."""
    response = await world.client.get("/v1/dashboard?panels=orders,user", headers=world.bearer())
    assert list(response.json()["panels"]) == ["user", "orders"]
    assert not world.worker.asked


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("panels=", "panels"),
        ("panels=user,", "panels"),
        ("panels=secrets", "panels"),
        ("panels=%00", "panels"),
        ("budget_ms=9", "budget_ms"),
        ("budget_ms=10001", "budget_ms"),
        ("budget_ms=1e3", "budget_ms"),
        ("budget_ms=", "budget_ms"),
        ("budget_ms=99999999999999999999", "budget_ms"),
    ],
)
async def test_a_bad_wish_is_refused_by_name(world: World, query: str, field: str) -> None:
    """An unknown or empty panel and an invalid budget are 422 and name the field."""
    response = await world.client.get(f"/v1/dashboard?{query}", headers=world.bearer())
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["errors"][0]["field"] == field


async def test_a_foreign_dashboard_does_not_exist(world: World) -> None:
    """For a user, another user's dashboard is answered exactly like one that does not exist, and no service is
    called."""
    foreign = await world.client.get(f"/v1/users/{new_id()}/dashboard", headers=world.bearer())
    assert foreign.status_code == 404
    assert foreign.json()["code"] == "user_not_found"
    assert not world.orders.asked


@pytest.mark.parametrize("role", ["support", "admin"])
async def test_operators_see_everyones(world: World, role: str) -> None:
    """Support and administrators read any user's dashboard."""
    user_id = new_id()
    response = await world.client.get(f"/v1/users/{user_id}/dashboard", headers=world.bearer(role=role))  # type: ignore[arg-type]  # parametrized
    assert response.json()["user_id"] == str(user_id)


async def test_own_dashboard_by_id(world: World) -> None:
    """A request with one's own id is the same as one without an id."""
    user_id = new_id()
    assert (await world.client.get(f"/v1/users/{user_id}/dashboard", headers=world.bearer(user_id))).status_code == 200


@pytest.mark.parametrize("path", ["x", "%2e%2e", "0" * 31, f"{UUID(int=0)}%00", "%ff"])
async def test_an_id_that_is_none_goes_nowhere(world: World, path: str) -> None:
    """An id that is not a UUID matches no route."""
    response = await world.client.get(f"/v1/users/{path}/dashboard", headers=world.bearer(role="admin"))
    assert response.status_code == 404
    assert not world.orders.asked


async def test_a_user_who_does_not_exist(world: World) -> None:
    """If the users service does not know the user, there is no dashboard, even if other panels have data."""
    user_id = new_id()
    world.users.behaviours["user"] = replies(b'{"items": {}, "missing": ["%s"]}' % str(user_id).encode())
    response = await world.client.get("/v1/dashboard", headers=world.bearer(user_id))
    assert (response.status_code, response.json()["code"]) == (404, "user_not_found")
    without = await world.client.get("/v1/dashboard?panels=orders", headers=world.bearer(user_id))
    assert without.status_code == 200
