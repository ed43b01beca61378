"""GET /v1/orders with a text, a time or both."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic_extra_types.currency_code import Currency

from services.orders import service
from services.orders.schemas import Item, NewOrder
from services.orders.search import Search
from shared.db.engine import Database
from tests.support.orders import ITEM, Visitor


async def found(user: Visitor, **params: Any) -> list[str]:
    page = await user.get("/v1/orders", params=params)
    assert page.status_code == 200, page.text
    return [order["id"] for order in page.json()["items"]]


async def placed_at(db: Database, user: Visitor, at: datetime, name: str = "Lamp") -> str:
    item = Item(sku="A-1", name=name, quantity=1, unit_price=100)
    async with db.connection() as connection:
        order = await service.place(
            connection, user.user_id, NewOrder(currency=Currency("EUR"), items=[item]), created_at=at
        )
    return str(order.id)


async def test_a_text_is_looked_for_in_items_and_numbers(app: Any, user: Visitor) -> None:
    """In names and SKUs of all items, in any case; a number is the end of an id. Others' orders are not found."""
    tea = await user.place(items=[ITEM, ITEM | {"name": "Green Tea 50%", "sku": "T_1"}])
    lamp = await user.place()
    await Visitor(app).place(items=[ITEM | {"name": "Green tea"}])
    assert await found(user, q="green tea") == [tea["id"]]
    assert await found(user, q="t_1") == [tea["id"]]
    assert await found(user, q="50%") == [tea["id"]]
    assert await found(user, q="T%1") == []
    assert await found(user, q=lamp["id"][-8:].upper()) == [lamp["id"]]
    assert await found(user, q=lamp["id"]) == [lamp["id"]]
    assert await found(user, q="lamp") == [lamp["id"], tea["id"]]
    assert await found(user, q="lamp", status="paid") == []


async def test_a_period_includes_its_beginning_and_not_its_end(db: Database, user: Visitor) -> None:
    """The times are those of the orders' creation, in any time zone."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    ids = [await placed_at(db, user, start + timedelta(hours=hours)) for hours in (0, 23, 24)]
    assert await found(user, **{"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}) == ids[1::-1]
    assert await found(user, **{"from": "2026-03-02T00:00:00+01:00"}) == ids[:0:-1]
    assert await found(user, to="2026-03-01T00:00:00Z") == []


async def test_a_search_examines_so_many_orders_for_a_page(db: Database, user: Visitor) -> None:
    """Its cost has a bound: a page may be empty and not be the last. All pages together have every match once."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    names = ["Tea", *["Lamp"] * 8, "Tea", "Tea"]
    ids = [await placed_at(db, user, start + timedelta(minutes=place), name) for place, name in enumerate(names)]
    page = await service.read_page(db, user.user_id, Search(text="tea"), None, 1, examined=4)
    pages = [page.items]
    while page.next_cursor is not None:
        page = await service.read_page(db, user.user_id, Search(text="tea"), page.next_cursor, 1, examined=4)
        pages.append(page.items)
    assert [str(order.id) for items in pages for order in items] == [ids[10], ids[9], ids[0]]
    assert [] in pages


@pytest.mark.parametrize(
    ("query", "field"),
    [("q=", "q"), ("q=" + "x" * 101, "q"), ("q=%00", "q"), ("from=2026-01-01T00:00:00", "from"), ("to=soon", "to")],
)
async def test_a_wrong_search_is_refused_by_name(user: Visitor, query: str, field: str) -> None:
    """Times need a time zone."""
    response = await user.get(f"/v1/orders?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_any_time_can_be_asked_for(user: Visitor, edge: str) -> None:
    """Also those that no id can have."""
    assert (await user.get("/v1/orders", params={"from": edge})).status_code == 200
    assert (await user.get("/v1/orders", params={"to": edge})).status_code == 200
