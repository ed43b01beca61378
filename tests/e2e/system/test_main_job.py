"""The main user journeys through all services."""

import asyncio
import os
import signal
from contextlib import closing
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.stack.running import PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.e2e

ITEM = '{"sku": "a", "name": "a", "quantity": %s, "unit_price": 1}'


def recount(stack: Stack, user_id: str) -> dict[str, Any]:
    """Return the analytics, counted again from the orders table."""

    async def query() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(stack.info["postgres"]["databases"]["orders"])
        try:
            return await connection.fetch("SELECT * FROM orders WHERE user_id = $1", user_id)
        finally:
            await connection.close()

    rows = asyncio.run(query())
    statuses = [row["status"] for row in rows]
    return {
        "orders": len(rows),
        "items": sum(row["item_count"] for row in rows),
        "revenue": {"EUR": sum(row["total"] for row in rows if row["status"] != "cancelled")},
        "by_status": {status: statuses.count(status) for status in statuses},
    }


def counted(person: Person) -> dict[str, Any]:
    analytics = person.panel("analytics")
    return {name: analytics[name] for name in ("orders", "items", "revenue", "by_status")}


def test_an_order_becomes_one_mail_a_notification_and_its_analytics(stack: Stack, person: Person) -> None:
    """A person registers, signs in and orders: one dashboard request shows all of it, and one mail arrives."""
    order = person.order(quantity=2)
    wait_until(lambda: person.panel("analytics")["orders"] == 1 and stack.mails(person.email), PATIENCE_S)
    wait_until(lambda: "order.created" in [one["kind"] for one in person.panel("notifications")], PATIENCE_S)

    shown = person.complete_dashboard()
    assert shown["user_id"] == person.id
    assert shown["panels"]["user"]["data"]["email"] == person.email
    assert [one["id"] for one in shown["panels"]["orders"]["data"]] == [order["id"]]
    assert shown["panels"]["analytics"]["data"]["revenue"] == {"EUR": 2500}
    [mail] = stack.mails(person.email)
    assert "25.00" in mail.text()


def test_the_analytics_equal_a_recount_of_the_orders_table(stack: Stack, person: Person) -> None:
    """After any changes of the orders, the rollups equal a recount of the orders."""
    orders = [person.order(quantity=number, unit_price=100 * number) for number in range(1, 9)]
    for order in orders[:5]:
        person.http.post(f"/v1/orders/{order['id']}/pay").raise_for_status()
    for order in orders[3:7]:
        person.http.post(f"/v1/orders/{order['id']}/cancel").raise_for_status()

    expected = recount(stack, person.id)
    assert expected["by_status"] == {"paid": 3, "cancelled": 4, "created": 1}
    wait_until(lambda: counted(person) == expected, PATIENCE_S)


def test_with_the_orders_service_hanging_the_dashboard_shows_what_it_knew(stack: Stack, person: Person) -> None:
    """A hanging service affects only its panel: the response is 200 with the last known good value, its reason and its
    age."""
    order = person.order()
    person.complete_dashboard()
    with stack.frozen("orders"):
        # The response arrives while the service is frozen, because it continues only after the block.
        shown = person.dashboard_when(costs_the_orders_only, no_cache=True)
    orders = shown["panels"]["orders"]
    assert orders["error"] == {"code": "timeout", "retryable": True}
    assert orders["age_ms"] > 0
    assert orders["data"][0]["id"] == order["id"]
    assert shown["complete"] is False
    person.complete_dashboard()


def costs_the_orders_only(shown: dict[str, Any]) -> bool:
    statuses = {name: panel["status"] for name, panel in shown["panels"].items()}
    return statuses.pop("orders") == "stale" and set(statuses.values()) == {"fresh"}


def test_a_killed_service_comes_back_by_itself(stack: Stack, person: Person) -> None:
    """A killed service is restarted, and the dashboard is complete again."""
    before = stack.pids("orders")
    os.kill(before[0], signal.SIGKILL)
    assert person.dashboard()["panels"]["orders"]
    wait_until(lambda: stack.pids("orders") not in ([], before), PATIENCE_S)
    person.complete_dashboard()


def test_nobody_sees_what_is_anothers(stack: Stack, person: Person) -> None:
    """Another user's order and dashboard are not found. Routes for operators are forbidden. Without a token the
    response is 401."""
    order = person.order()
    with closing(Person(stack).http) as stranger:
        assert stranger.get(f"/v1/orders/{order['id']}").status_code == 404
        assert stranger.post(f"/v1/orders/{order['id']}/cancel").status_code == 404
        assert stranger.get(f"/v1/users/{person.id}/dashboard").status_code == 404
        assert stranger.get("/v1/users").status_code == 403
    assert httpx.get(f"{stack.url}/v1/dashboard", timeout=PATIENCE_S).status_code == 401
    assert httpx.get(f"{stack.info['orders']['url']}/v1/orders", timeout=PATIENCE_S).status_code == 401


def test_a_signed_out_token_is_refused(person: Person) -> None:
    """After signing out, the access token is no longer valid."""
    assert person.http.delete("/v1/tokens").status_code == 204
    assert person.http.get("/v1/dashboard").status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"currency": "EUR", "items": [', "body"),
        ('{"currency": "EUR", "items": [], "total": 1}', "total"),
        ('{"currency": "XXQ", "items": [%s]}' % (ITEM % 1), "currency"),
        ('{"currency": "EUR", "items": [%s]}' % (ITEM % -1), "items.0.quantity"),
        ('{"currency": "EUR", "items": [%s]}' % (ITEM % 10**20), "items.0.quantity"),
        ('{"currency": "EUR", "items": [%s]}' % (ITEM % '"1"'), "items.0.quantity"),
    ],
    ids=["cut off", "unknown field", "unknown currency", "negative", "huge", "text"],
)
def test_bad_input_is_refused_naming_the_field(person: Person, body: str, field: str) -> None:
    """Invalid input is answered with problem+json that names the field, and nothing is written."""
    answer = person.http.post("/v1/orders", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert person.http.get("/v1/orders").json()["items"] == []


def test_a_bad_cursor_is_refused(person: Person) -> None:
    """An invalid cursor is 422 and names the parameter."""
    answer = person.http.get("/v1/orders?cursor=nonsense!")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "cursor"
