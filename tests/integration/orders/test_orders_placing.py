"""POST /v1/orders."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from shared.contracts import events
from shared.db.engine import Database
from tests.support.orders import BODY, ITEM, Visitor

UNREADABLE = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff",
    b"[" * 100_000,
    b'{"\\ud800": 1}',
    b'{"currency": "\\ud800UR", "items": 1e400}',
    json.dumps(BODY).replace('"Lamp"', '"\\ud800"').encode(),
    json.dumps(BODY).replace("1050", "9" * 5000).encode(),
    json.dumps(BODY).replace("1050", "NaN").encode(),
)


async def test_an_order_is_placed_and_found(user: Visitor) -> None:
    """The response is 201 with the computed order and its address, which returns the same order."""
    response = await user.post("/v1/orders", json=BODY)
    order = response.json()
    assert response.status_code == 201
    assert (order["total"], order["item_count"], order["status"]) == (2199, 3, "created")
    assert (order["user_id"], order["currency"], order["items"]) == (str(user.user_id), "EUR", BODY["items"])
    assert order["created_at"] == order["updated_at"]
    assert order["created_at"].endswith("Z")
    assert UUID(order["id"]).version == 7
    assert response.headers["Location"] == f"/v1/orders/{order['id']}"
    assert (await user.get(response.headers["Location"])).json() == order


async def test_the_event_is_written_with_the_order(user: Visitor, db: Database) -> None:
    """There is one outbox row with all fields of shared.contracts.events, in the trace of the request."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    response = await user.post("/v1/orders", json=BODY, headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    order = response.json()
    [row] = await db.pool.fetch("SELECT * FROM outbox WHERE user_id = $1", user.user_id)
    event = msgspec.json.decode(row["payload"], type=events.OrderCreated)
    assert (row["user_id"], row["type"]) == (user.user_id, "order.created")
    assert row["dataschema"] == "urn:dashboard:event:order.created:1"
    assert trace in row["traceparent"]
    assert (str(event.order_id), event.total, event.item_count, event.mail) == (order["id"], 2199, 3, True)
    assert [msgspec.to_builtins(line) for line in event.items] == BODY["items"]
    assert event.created_at.astimezone(UTC) == datetime.fromisoformat(order["created_at"])


@pytest.mark.parametrize("table", ["outbox", "order_items"])
async def test_all_is_stored_or_nothing(alone: FastAPI, table: str) -> None:
    """If one of the tables rejects its row, the response is 500 and no table has one."""
    user, db = Visitor(alone), alone.state.db
    await db.pool.execute(f"ALTER TABLE {table} ADD CHECK (false)")
    assert (await user.post("/v1/orders", json=BODY)).status_code == 500
    for each in ("orders", "order_items", "outbox"):
        assert await db.pool.fetchval(f"SELECT count(*) FROM {each}") == 0


async def test_a_failing_commit_is_no_success(alone: FastAPI) -> None:
    """A failure at the commit is answered 5xx, and nothing is stored."""
    user, db = Visitor(alone), alone.state.db
    await db.pool.execute("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$")
    await db.pool.execute(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON orders "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    assert (await user.post("/v1/orders", json=BODY)).status_code == 500
    assert await db.pool.fetchval("SELECT count(*) FROM outbox") == 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"currency": "ABC"}, "currency"),
        ({"items": []}, "items"),
        ({"items": [ITEM | {"quantity": 0}]}, "items.0.quantity"),
        ({"items": [ITEM | {"name": "\0"}]}, "items.0.name"),
        ({"total": 1}, "total"),
        ({"user_id": "0" * 32}, "user_id"),
    ],
)
async def test_a_wrong_body_is_answered_with_its_field(user: Visitor, wrong: dict[str, Any], field: str) -> None:
    """The response is a 422 problem that names the field."""
    response = await user.post("/v1/orders", json=BODY | wrong)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_no_body_is_answered_500(user: Visitor) -> None:
    """Any bytes result in a client error."""
    for raw in UNREADABLE:
        response = await user.post("/v1/orders", content=raw, headers={"Content-Type": "application/json"})
        assert response.status_code in (400, 422), raw[:80]
        assert response.headers["content-type"] == "application/problem+json"


async def test_only_the_gateway_may_call(app: FastAPI, user: Visitor) -> None:
    """Without a service token, or with another service's, every route answers 401."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders") as stranger:
        calls = (
            stranger.post("/v1/orders", json=BODY),
            stranger.get("/v1/orders"),
            stranger.post("/internal/panels/orders", json={"ids": [str(user.user_id)]}),
        )
        assert {response.status_code for response in await asyncio.gather(*calls)} == {401}
