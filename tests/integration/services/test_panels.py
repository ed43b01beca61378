"""Panels of each service, as the gateway requests them."""

import asyncio
from uuid import uuid4

import pytest
from fastapi import FastAPI

from shared.contracts.panels import DEADLINE_HEADER, PATH
from tests.support.services.description import Service, Somebody
from tests.support.services.every import each
from tests.support.services.worker import WORKER


@each
async def test_one_call_answers_what_a_call_for_each_panel_does(service: Service, somebody: Somebody) -> None:
    """The previous release requests each panel separately."""
    ids = [str(somebody.user_id), str(uuid4())]
    whole = await somebody.post(PATH, json={"panels": service.panels, "ids": ids})
    each_panel = {panel: await somebody.post(f"{PATH}/{panel}", json={"ids": ids}) for panel in service.panels}
    assert whole.json() == {"panels": {panel: answer.json() for panel, answer in each_panel.items()}}
    assert whole.headers["Content-Type"] == "application/json"


@each
async def test_a_panel_that_the_service_does_not_have(service: Service, somebody: Somebody) -> None:
    """The response is 422 and names the field."""
    query = {"panels": [*service.panels, "x"], "ids": [str(somebody.user_id)]}
    answer = await somebody.post(PATH, json=query)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert [error["field"] for error in answer.json()["errors"]] == ["panels"]


@each
async def test_only_the_gateway_may_ask_for_panels(service: Service, somebody: Somebody) -> None:
    query = {"panels": service.panels, "ids": [str(somebody.user_id)]}
    answer = await somebody.post(PATH, json=query, auth=lambda request: request)
    assert answer.status_code == 401


@pytest.mark.parametrize("service", [WORKER], ids=str)
@pytest.mark.parametrize(
    ("table", "late", "well"),
    [("notifications", "notifications", "analytics"), ("user_rollups", "analytics", "notifications")],
)
async def test_a_panel_that_is_late_does_not_cost_the_other(
    app: FastAPI, somebody: Somebody, table: str, late: str, well: str
) -> None:
    """While a table is locked, the panel that reads it has an error, and the other panel has data."""
    query = {"panels": [late, well], "ids": [str(somebody.user_id)]}
    async with app.state.db.connection() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(60):
            answer = await somebody.post(PATH, json=query, headers={DEADLINE_HEADER: "3000"})
    assert answer.status_code == 200
    assert answer.json()["panels"][late] == {"error": "timeout"}
    assert answer.json()["panels"][well]["items"].keys() == {str(somebody.user_id)}


@each
async def test_panel_statements_are_planned_once(service: Service, database_url: str) -> None:
    """Calls for one user and for many share one plan, because Postgres expects no gain from planning each."""
    plans = "SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE $1"
    async with service.running(database_url, pool_size=1) as app:
        somebody = Somebody(app)
        for users in (1, 1, 100, 1, 1, 1, 1, 100):
            query = {"panels": service.panels, "ids": [str(uuid4()) for _ in range(users)]}
            assert (await somebody.post(PATH, json=query)).status_code == 200
        async with app.state.db.connection() as connection:
            kept = await connection.fetch(plans, "%(SELECT $1::uuid[])%")
    assert [row["generic_plans"] for row in kept] == [3] * len(service.panels)
