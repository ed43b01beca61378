"""GET /v1/orders/{id}/history."""

from typing import Any

from fastapi import FastAPI

from shared.contracts.internal_api import PERSONAL_DATA_PATH
from shared.db.engine import Database
from tests.support.orders import Visitor


async def statuses(visitor: Visitor, order: dict[str, Any]) -> list[str]:
    response = await visitor.get(f"/v1/orders/{order['id']}/history")
    assert response.status_code == 200, response.text
    return [change["status"] for change in response.json()["items"]]


async def test_each_change_is_recorded_once_with_its_time(user: Visitor, admin: Visitor) -> None:
    """The time is the order's own; a repeated command adds nothing. The export contains it."""
    placed = await user.place()
    assert await statuses(user, placed) == ["created"]
    paid = (await user.post(f"/v1/orders/{placed['id']}/pay")).json()
    await user.post(f"/v1/orders/{placed['id']}/pay")
    shipped = (await admin.post(f"/v1/orders/{placed['id']}/ship")).json()
    history = (await user.get(f"/v1/orders/{placed['id']}/history")).json()["items"]
    assert history == [
        {"status": "created", "at": placed["created_at"]},
        {"status": "paid", "at": paid["updated_at"]},
        {"status": "shipped", "at": shipped["updated_at"]},
    ]
    (exported,) = (await user.get(PERSONAL_DATA_PATH)).json()["orders"]
    assert [change["status"] for change in exported["changes"]] == ["paid", "shipped"]


async def test_a_change_that_was_not_recorded_is_known_by_the_order(user: Visitor, db: Database) -> None:
    """As those of the previous release: the last change is known, and a later one is recorded."""
    placed = await user.place()
    await user.post(f"/v1/orders/{placed['id']}/pay")
    async with db.connection() as connection:
        await connection.execute("DELETE FROM order_changes WHERE user_id = $1", user.user_id)
    assert await statuses(user, placed) == ["created", "paid"]
    await user.post(f"/v1/orders/{placed['id']}/cancel")
    assert await statuses(user, placed) == ["created", "cancelled"]


async def test_it_is_its_owners_and_the_operators(app: FastAPI, user: Visitor) -> None:
    """For other users the order does not exist."""
    placed = await user.place()
    assert await statuses(Visitor(app, "support"), placed) == ["created"]
    foreign = await Visitor(app).get(f"/v1/orders/{placed['id']}/history")
    assert (foreign.status_code, foreign.json()["code"]) == (404, "order_not_found")
