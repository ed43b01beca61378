"""Whatever the orders service is sent, past the gateway: the answer is the client's fault and says so."""

import json
from typing import Any

import pytest
from fastapi import FastAPI

from shared.ids import new_id
from tests.support import hostile
from tests.support.orders import BODY, ITEM, Visitor

BIG = [-1, hostile.INT64, 10**30, 1.5, "2", True, None, [], {}]
TEXT = ["", "\0", "a\0b", "x" * 10_000, 1, None, [], {}]
FIELDS: dict[str, list[Any]] = {
    "quantity": [0, *BIG],
    "unit_price": BIG,
    "sku": TEXT,
    "name": TEXT,
}
CURRENCIES = ["XXX", "ABC", "", "EU", "EURO", "E\0R", "€€€", 978, None, [], {}]


async def test_bodies_that_are_no_order(user: Visitor) -> None:
    """4xx as a problem on every route that takes a body, and nothing is placed."""
    for body in hostile.BODIES:
        await hostile.refuses_body(user.request, body, [("POST", "/v1/orders"), ("POST", "/internal/panels/orders")])
    assert (await user.get("/v1/orders")).json()["items"] == []


async def test_values_that_are_no_value_for_the_field(user: Visitor) -> None:
    """A negative quantity, a price beyond int64, NUL, an unknown currency: 422 that names the field."""
    bodies = [("currency", BODY | {"currency": value}) for value in CURRENCIES]
    for field, values in FIELDS.items():
        bodies += [(field, BODY | {"items": [ITEM | {field: value}]}) for value in values]
    for field, body in bodies:
        answer = await user.post("/v1/orders", json=body)
        hostile.assert_refused(answer, 422)
        assert any(field in error["field"] for error in answer.json()["errors"]), (field, answer.text)
    assert (await user.get("/v1/orders")).json()["items"] == []


@pytest.mark.parametrize("field", ["sku", "name"])
async def test_half_a_character(user: Visitor, field: str) -> None:
    """A lone surrogate is text to JSON and to no database: 422."""
    body = json.dumps(BODY | {"items": [ITEM | {field: "\ud800"}]})
    hostile.assert_refused(await user.post("/v1/orders", content=body, headers=hostile.JSON), 422)


async def test_orders_that_are_too_many_items(user: Visitor) -> None:
    """None, and more than a hundred."""
    for items in ([], [ITEM] * 101, {"0": ITEM}):
        hostile.assert_refused(await user.post("/v1/orders", json=BODY | {"items": items}), 422)


async def test_pages_that_no_list_has(user: Visitor) -> None:
    """A milliard rows, or behind a cursor that nobody was given."""
    for page in hostile.PAGES:
        await hostile.refuses_page(user.request, page, ["/v1/orders"])


async def test_paths_and_keys_that_are_none(user: Visitor) -> None:
    """4xx as a problem."""
    for path in ("x", "%00", "%F0%9F%99%82", "1" * 5000):
        hostile.assert_refused(await user.get(f"/v1/orders/{path}"), 404, 422)
    for key in ("", "x" * 300, "\u00e9"):
        answer = await user.post("/v1/orders", json=BODY, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
        hostile.assert_refused(answer, 422)


async def test_a_body_without_end(app: FastAPI, user: Visitor) -> None:
    """413 as soon as it is too large; what follows is not even taken."""
    most = app.state.settings.max_body_bytes
    await hostile.refuses_endless_body(user.request, "POST", "/v1/orders", most)


async def test_only_the_gateways_own_token_opens(app: FastAPI) -> None:
    """Unsigned, by another key, expired, for another audience, a user's: 401, whoever the headers name."""
    await hostile.refuses_forged_tokens(
        app, [("GET", "/v1/orders"), ("POST", "/v1/orders"), ("GET", f"/v1/orders/{new_id()}")]
    )
