"""Batches of imported orders, each of which is placed once."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from shared.contracts.imports import BATCH_PATH
from shared.db.engine import Database
from shared.http.identity import GATEWAY, WORKER
from shared.http.tokens import ServiceTokens
from shared.ids import new_id
from tests.support.orders import Visitor

ROW = ("r-1", "EUR", "A-1", "Lamp", "2", "1050", "2026-01-31T23:30:00-01:00")


class Importer(httpx.AsyncClient):
    """The worker, which imports for one user."""

    def __init__(self, app: FastAPI, service: str = WORKER) -> None:
        self.user_id = new_id()
        secret = app.state.settings.internal_token_secret.get_secret_value()
        headers = {"Authorization": f"Bearer {ServiceTokens(secret, service).token()}"}
        super().__init__(transport=httpx.ASGITransport(app), base_url="http://orders", headers=headers)

    async def place(self, *rows: tuple[str, ...]) -> dict[str, Any]:
        body = {"user_id": str(self.user_id), "import_id": str(new_id()), "rows": rows}
        response = await self.post(BATCH_PATH, json=body)
        assert response.status_code == 200, response.text
        outcome: dict[str, Any] = response.json()
        return outcome


@pytest.fixture
def importer(app: FastAPI) -> Importer:
    return Importer(app)


def rows_of(count: int, first: int = 0) -> list[tuple[str, ...]]:
    return [(f"r-{number}", *ROW[1:]) for number in range(first, first + count)]


async def events_of(db: Database, user_id: UUID) -> list[dict[str, Any]]:
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT type, payload FROM outbox WHERE user_id = $1 ORDER BY id", user_id)
    return [{"type": row["type"]} | json.loads(row["payload"]) for row in rows]


async def test_rows_become_orders_of_their_day(importer: Importer, app: FastAPI) -> None:
    """An imported order is like any other, and was created when its row says."""
    assert await importer.place(ROW) == {"created": 1, "repeated": 0, "errors": []}
    visitor = Visitor(app, user_id=importer.user_id)
    [summary] = (await visitor.get("/v1/orders")).json()["items"]
    order = (await visitor.get(f"/v1/orders/{summary['id']}")).json()
    assert (order["total"], order["item_count"], order["status"]) == (2100, 2, "created")
    assert order["created_at"] == "2026-02-01T00:30:00Z"
    assert order["items"] == [{"sku": "A-1", "name": "Lamp", "quantity": 2, "unit_price": 1050}]


async def test_one_event_tells_of_all_of_a_batch(importer: Importer, db: Database) -> None:
    """The event has sums by currency and UTC day, without orders that existed before."""
    await importer.place(*rows_of(2))
    await importer.place(*rows_of(3), ("x", "JPY", *ROW[2:]))
    first, second = await events_of(db, importer.user_id)
    assert first["type"] == second["type"] == "orders.imported"
    assert [(it["currency"], it["day"], it["orders"], it["revenue"]) for it in second["sums"]] == [
        ("EUR", "2026-02-01", 1, 2100),
        ("JPY", "2026-02-01", 1, 2100),
    ]


async def test_a_batch_sent_again_changes_nothing(importer: Importer, db: Database) -> None:
    """The batch is sent ten times at once, with its rows in different orders: each order is placed and counted once."""
    rows = rows_of(50)
    outcomes = await asyncio.gather(*(importer.place(*(rows if even else rows[::-1])) for even in (0, 1) * 5))
    assert sum(outcome["created"] for outcome in outcomes) == 50
    assert all(outcome["created"] + outcome["repeated"] == 50 and not outcome["errors"] for outcome in outcomes)
    told = await events_of(db, importer.user_id)
    assert sum(one["orders"] for event in told for one in event["sums"]) == 50


async def test_a_reference_that_stands_for_another_order_is_an_error(importer: Importer) -> None:
    """This applies within a batch and to later ones."""
    outcome = await importer.place(ROW, ROW, (*ROW[:4], "3", *ROW[5:]))
    assert (outcome["created"], outcome["repeated"]) == (1, 1)
    [error] = outcome["errors"]
    assert (error["row"], error["field"]) == (2, "reference")
    assert [error["row"] for error in (await importer.place((*ROW[:3], "Lantern", *ROW[4:])))["errors"]] == [0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("reference", ""),
        ("reference", "r" * 201),
        ("currency", "XXX"),
        ("sku", "s" * 65),
        ("name", "nul\0"),
        ("name", ""),
        ("quantity", "0"),
        ("quantity", "10001"),
        ("quantity", "1.0"),
        ("quantity", "1_0"),
        ("quantity", "9223372036854775808"),
        ("unit_price", "-1"),
        ("unit_price", "1000000001"),
        ("unit_price", "9" * 400),
        ("ordered_at", "2026-01-31"),
        ("ordered_at", "2026-01-31T12:00:00"),
        ("ordered_at", "2026-02-30T12:00:00Z"),
        ("ordered_at", "1700000000"),
        ("ordered_at", "2999-01-01T00:00:00Z"),
        ("ordered_at", "0001-01-01T00:00:00+23:00"),
    ],
)
async def test_a_row_that_is_no_order_costs_only_itself(importer: Importer, column: str, value: str) -> None:
    """The result names the field and the reason, and the other rows are placed."""
    names = ("reference", "currency", "sku", "name", "quantity", "unit_price", "ordered_at")
    bad = tuple(value if name == column else text for name, text in zip(names, ROW, strict=True))
    outcome = await importer.place(("a", *ROW[1:]), bad, ("b", *ROW[1:]))
    assert outcome["created"] == 2
    assert [(error["row"], error["field"]) for error in outcome["errors"]] == [(1, column)]


async def test_only_the_worker_may_place_batches(app: FastAPI) -> None:
    """The gateway and requests without a token are refused."""
    gateway = Importer(app, GATEWAY)
    body = {"user_id": str(gateway.user_id), "import_id": str(new_id()), "rows": [ROW]}
    assert (await gateway.post(BATCH_PATH, json=body)).status_code == 401
    assert (await gateway.post(BATCH_PATH, json=body, headers={"Authorization": ""})).status_code == 401


async def test_what_is_no_batch_is_refused(importer: Importer) -> None:
    """A batch with too many rows, without rows, or without valid JSON is refused as a whole."""
    for rows in ([], rows_of(1001), "rows"):
        body = {"user_id": str(importer.user_id), "import_id": str(new_id()), "rows": rows}
        assert (await importer.post(BATCH_PATH, json=body)).status_code == 422
    assert (await importer.post(BATCH_PATH, content=b"{")).status_code == 422
