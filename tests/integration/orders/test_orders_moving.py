"""Paying, shipping and cancelling."""

import asyncio
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from fastapi import FastAPI

from shared.contracts import events
from shared.db.engine import Database
from tests.support.orders import Visitor


async def _changes(db: Database, user: Visitor) -> list[events.OrderChanged]:
    """Return the events about changes of this user's orders."""
    query = "SELECT type, payload FROM outbox WHERE type <> 'order.created' AND user_id = $1 ORDER BY id"
    rows = await db.pool.fetch(query, user.user_id)
    changes: list[Any] = [msgspec.json.decode(row["payload"], type=events.EVENTS[row["type"]]) for row in rows]
    return changes


async def test_an_order_is_paid_and_shipped(user: Visitor, admin: Visitor, db: Database) -> None:
    """Each step returns the current order, and writes one event with the previous status."""
    placed = await user.place()
    paid = (await user.post(f"/v1/orders/{placed['id']}/pay")).json()
    shipped = (await admin.post(f"/v1/orders/{placed['id']}/ship")).json()
    assert [paid["status"], shipped["status"]] == ["paid", "shipped"]
    assert placed["updated_at"] < paid["updated_at"] < shipped["updated_at"]
    assert shipped == placed | {"status": "shipped", "updated_at": shipped["updated_at"]}
    first, second = await _changes(db, user)
    assert (type(first), first.previous_status) == (events.OrderPaid, "created")
    assert (type(second), second.previous_status) == (events.OrderShipped, "paid")
    assert (str(second.order_id), second.user_id, second.currency, second.total, second.mail) == (
        (placed["id"], user.user_id, "EUR", 2199, True)
    )
    assert second.created_at < first.changed_at < second.changed_at


@pytest.mark.parametrize("paid", [False, True])
async def test_an_order_can_be_cancelled_until_it_ships(user: Visitor, db: Database, paid: bool) -> None:
    """Orders in the states `created` and `paid` can be cancelled."""
    placed = await user.place()
    if paid:
        await user.post(f"/v1/orders/{placed['id']}/pay")
    response = await user.post(f"/v1/orders/{placed['id']}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert (await _changes(db, user))[-1].previous_status == ("paid" if paid else "created")


async def test_a_repeated_command_changes_nothing(user: Visitor, db: Database) -> None:
    """The response is 200 with the same order, and there is no second event."""
    placed = await user.place()
    first = await user.post(f"/v1/orders/{placed['id']}/pay")
    second = await user.post(f"/v1/orders/{placed['id']}/pay")
    assert first.json() == second.json()
    assert len(await _changes(db, user)) == 1


async def test_a_wrong_step_names_both_states(user: Visitor, admin: Visitor, db: Database) -> None:
    """The response is 409, and the order does not change."""
    placed = await user.place()
    response = await admin.post(f"/v1/orders/{placed['id']}/ship")
    assert (response.status_code, response.json()["code"]) == (409, "wrong_state")
    assert "created" in response.json()["detail"]
    assert "shipped" in response.json()["detail"]
    assert await _changes(db, user) == []


async def test_twenty_payments_at_once_are_one(user: Visitor, db: Database) -> None:
    """All requests succeed, and one event is written."""
    placed = await user.place()
    responses = await asyncio.gather(*(user.post(f"/v1/orders/{placed['id']}/pay") for _ in range(20)))
    assert {response.status_code for response in responses} == {200}
    assert len(await _changes(db, user)) == 1


async def test_contradicting_commands_at_once_leave_a_legal_history(
    user: Visitor, admin: Visitor, db: Database
) -> None:
    """Whichever command wins, the events are a path through the state machine that ends at the order's status."""
    placed = await user.place()
    path = f"/v1/orders/{placed['id']}"
    calls = [call for _ in range(5) for call in (user.post(f"{path}/pay"), user.post(f"{path}/cancel"))]
    responses = await asyncio.gather(*calls, *(admin.post(f"{path}/ship") for _ in range(5)))
    assert {response.status_code for response in responses} <= {200, 409}
    history = [
        change.type.removeprefix("order.") for change in sorted(await _changes(db, user), key=lambda c: c.changed_at)
    ]
    assert history in (["cancelled"], ["paid", "cancelled"], ["paid", "shipped"])
    assert (await user.get(path)).json()["status"] == history[-1]


async def test_an_order_that_is_being_changed_is_waited_for_only_so_long(impatient_app: FastAPI) -> None:
    """The response is 503 with Retry-After after the lock timeout, so the request does not hang."""
    user, db = Visitor(impatient_app), impatient_app.state.db
    placed = await user.place()
    async with db.connection() as connection, connection.transaction():
        await connection.execute("SELECT FROM orders WHERE user_id = $1 FOR UPDATE", user.user_id)
        response = await user.post(f"/v1/orders/{placed['id']}/pay")
    assert response.status_code == 503
    assert "Retry-After" in response.headers


@pytest.mark.parametrize("command", ["pay", "cancel"])
async def test_somebody_elses_order_does_not_exist(app: FastAPI, admin: Visitor, user: Visitor, command: str) -> None:
    """The response is exactly the 404 of an order that does not exist, also for administrators: only its owner pays or
    cancels an order."""
    placed = await user.place()
    missing = str(uuid4())
    for other in (Visitor(app), admin):
        foreign = (await other.post(f"/v1/orders/{placed['id']}/{command}")).json()
        unknown = (await other.post(f"/v1/orders/{missing}/{command}")).json()
        assert foreign["status"] == 404
        for answer in (foreign, unknown):
            del answer["request_id"], answer["trace_id"]
        assert foreign | {"detail": foreign["detail"].replace(placed["id"], missing)} == unknown


async def test_only_administrators_ship(app: FastAPI, user: Visitor, admin: Visitor) -> None:
    """The response is 403 for the owner and for support, whether the order exists or not, and 404 for an administrator
    if it does not exist."""
    placed = await user.place()
    await user.post(f"/v1/orders/{placed['id']}/pay")
    for other in (user, Visitor(app, "support")):
        for order_id in (placed["id"], uuid4()):
            assert (await other.post(f"/v1/orders/{order_id}/ship")).status_code == 403
    assert (await admin.post(f"/v1/orders/{uuid4()}/ship")).status_code == 404
    assert (await admin.post(f"/v1/orders/{placed['id']}/ship")).status_code == 200
