"""The orders service, for the tests that every service has in common."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from services.orders.models import Order
from shared.contracts.internal_api import PERSONAL_DATA_PATH as EXPORT
from shared.ids import new_id
from tests.support import hostile
from tests.support.orders import BODY, ITEM, app_of, settings_of
from tests.support.services.description import Call, Service, Somebody, Thing

PLACE = Call("POST", "/v1/orders", {"json": BODY})
BIG = [-1, hostile.INT64, 10**30, 1.5, "2", True, None, [], {}]
TEXT = ["", "\0", "a\0b", "x" * 10_000, 1, None, [], {}]
FIELDS: dict[str, list[Any]] = {"quantity": [0, *BIG], "unit_price": BIG, "sku": TEXT, "name": TEXT}
CURRENCIES = ["XXX", "ABC", "", "EU", "EURO", "E\0R", "€€€", 978, None, [], {}]


def wrong() -> Iterator[tuple[str, str, Any]]:
    """A negative quantity, a price beyond int64, NUL, an unknown currency."""
    for currency in CURRENCIES:
        yield "/v1/orders", "currency", BODY | {"currency": currency}
    for field, values in FIELDS.items():
        for value in values:
            yield "/v1/orders", field, BODY | {"items": [ITEM | {field: value}]}


async def settle(app: FastAPI) -> Somebody:
    """With an order."""
    placed = await PLACE.by(somebody := Somebody(app))
    return Somebody(app, somebody.user_id, order=placed.raise_for_status().json()["id"])


def calls(somebody: Somebody, panel_headers: Mapping[str, str]) -> list[Call]:
    order = f"/v1/orders/{somebody.has['order']}"
    return [
        PLACE,
        Call("POST", "/v1/orders", {"json": BODY, "headers": {"Idempotency-Key": "k"}}),
        Call("GET", "/v1/orders"),
        Call("GET", order),
        Call("POST", f"{order}/pay"),
        Call("POST", f"{order}/cancel"),
        Call("POST", f"{order}/ship", role="admin"),
        Call("GET", "/internal/reports/orders?from=2026-01-01&to=2026-01-31", pooled=False),
        Call("GET", EXPORT),
        *ORDERS.panels_of(somebody, panel_headers),
    ]


ORDERS = Service(
    name="orders",
    metadata=Order.metadata,
    create_app=app_of,
    settings=settings_of,
    settle=settle,
    calls=calls,
    read=Call("GET", "/v1/orders"),
    write=lambda: PLACE,
    panels=("orders",),
    taking_json=(("POST", "/v1/orders"), ("POST", "/internal/panels"), ("POST", "/internal/panels/orders")),
    lists=("/v1/orders",),
    own=("/v1/orders",),
    naming=(("GET", "/v1/orders/{}"), ("POST", "/v1/orders/{}/pay"), ("POST", "/v1/orders/{}/cancel")),
    guarded=(("GET", "/v1/orders"), ("POST", "/v1/orders"), ("GET", f"/v1/orders/{new_id()}")),
    things=(
        Thing(
            "orders",
            """
            INSERT INTO orders (user_id, id, status, currency, total, item_count, mail, created_at, updated_at)
            VALUES ($1, $2, 'created', 'EUR', 1, 1, true, now(), now())
            """,
            [
                Call("GET", "/v1/orders/{}"),
                Call("POST", "/v1/orders/{}/pay"),
                Call("POST", "/v1/orders/{}/cancel"),
            ],
        ),
    ),
    wrong=wrong,
)
