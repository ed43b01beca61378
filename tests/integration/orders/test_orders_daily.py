"""GET /v1/orders/daily."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from services.orders import daily, service
from services.orders.models import Status
from services.orders.schemas import Item, NewOrder
from shared.db.engine import Database
from shared.ids import first_id
from tests.support.orders import Visitor


async def place(db: Database, user: Visitor, at: str, price: int, currency: Any = "EUR", *, paid: bool = False) -> Any:
    body = NewOrder(currency=currency, items=[Item(sku="A-1", name="Lamp", quantity=1, unit_price=price)])
    async with db.connection() as connection:
        order = await service.place(connection, user.user_id, body, created_at=datetime.fromisoformat(at))
    if paid:
        async with db.begin() as session:
            await service.move(session, order.id, user.user_id, Status.PAID)
    return order


async def test_days_are_those_of_the_time_zone(app: Any, db: Database, user: Visitor) -> None:
    """An order at 23:30 UTC is of the next day in Berlin. Amounts are by currency. Others' orders are not counted."""
    await place(db, user, "2026-03-10T23:30:00+00:00", 500)
    await place(db, user, "2026-03-10T12:00:00+00:00", 70, "USD", paid=True)
    await place(db, Visitor(app), "2026-03-10T12:00:00+00:00", 9)
    berlin = await daily.read(db, user.user_id, 2, "Europe/Berlin", date(2026, 3, 11))
    assert [(each.day.day, each.orders, each.revenue) for each in berlin.items] == [
        (10, 1, {"USD": 70}),
        (11, 1, {"EUR": 500}),
    ]
    utc = await daily.read(db, user.user_id, 2, "UTC", date(2026, 3, 11))
    assert [(each.orders, each.revenue) for each in utc.items] == [(2, {"EUR": 500, "USD": 70}), (0, {})]


async def test_a_cancelled_order_is_counted_without_its_amount(db: Database, user: Visitor) -> None:
    """As in the panel of the analytics, on the day on which it was placed."""
    order = await place(db, user, "2026-03-10T12:00:00+00:00", 500)
    await place(db, user, "2026-03-10T13:00:00+00:00", 20)
    await user.post(f"/v1/orders/{order.id}/cancel")
    (day,) = (await daily.read(db, user.user_id, 1, "UTC", date(2026, 3, 10))).items
    assert (day.orders, day.revenue) == (2, {"EUR": 20})


async def test_the_period_before_is_as_long(db: Database, user: Visitor) -> None:
    """It ends where the days begin."""
    for at, price in (("2026-03-03T00:00:00", 1), ("2026-03-02T23:59:59", 2), ("2026-02-28T00:00:00", 4)):
        await place(db, user, f"{at}+00:00", price)
    await place(db, user, "2026-02-27T23:59:59+00:00", 8)
    found = await daily.read(db, user.user_id, 3, "UTC", date(2026, 3, 5))
    assert (found.total.orders, found.total.revenue) == (1, {"EUR": 1})
    assert (found.previous.orders, found.previous.revenue) == (2, {"EUR": 6})
    assert (found.previous.first_day, found.previous.last_day) == (date(2026, 2, 28), date(2026, 3, 2))


async def test_today_is_the_last_day(user: Visitor) -> None:
    """The response names the time zone and both periods."""
    placed = await user.place()
    answer = (await user.get("/v1/orders/daily", params={"days": 7, "timezone": "Pacific/Auckland"})).json()
    assert (answer["timezone"], len(answer["items"])) == ("Pacific/Auckland", 7)
    assert answer["items"][-1]["revenue"] == answer["total"]["revenue"] == {"EUR": placed["total"]}
    assert answer["total"]["to"] == answer["items"][-1]["day"]
    assert answer["previous"] | {"from": "", "to": ""} == {"from": "", "to": "", "orders": 0, "revenue": {}}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("days=0", "days"),
        ("days=367", "days"),
        ("timezone=Mars/Olympus", "timezone"),
        ("timezone=../../etc/passwd", "timezone"),
        ("timezone=Europe", "timezone"),
        ("timezone=", "timezone"),
        ("timezone=%00", "timezone"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(user: Visitor, query: str, field: str) -> None:
    """The response is 422."""
    response = await user.get(f"/v1/orders/daily?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == field


async def test_only_an_index_is_read(db: Database, user: Visitor) -> None:
    """Not the orders themselves: a year of many orders must not take long."""
    moments = daily.moments_of(date(2026, 3, 10), 14, daily.zone_of("UTC"))
    await place(db, user, "2026-03-10T12:00:00+00:00", 5)
    async with db.connection() as connection:
        await connection.execute("SET enable_seqscan = off")
        await connection.execute("SET enable_bitmapscan = off")
        try:
            rows = await connection.fetch(
                f"EXPLAIN {daily.LOAD}", user.user_id, moments, first_id(moments[0]), moments[-1]
            )
        finally:
            await connection.execute("RESET enable_seqscan")
            await connection.execute("RESET enable_bitmapscan")
    plan = "\n".join(row[0] for row in rows)
    assert "Index Only Scan using orders_panel on orders" in plan
    assert moments[0] == datetime(2026, 2, 25, tzinfo=UTC)
