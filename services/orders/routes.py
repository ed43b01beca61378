"""The HTTP routes of the orders service."""

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Response

from services.orders import daily, service
from services.orders.errors import IdempotencyKeyReused, OrderNotFound, RequestInFlight, WrongState
from services.orders.idempotency import KeyHeader
from services.orders.models import Status
from services.orders.schemas import FromQuery, History, NewOrder, Order, OrderSummary, TextQuery, ToQuery
from services.orders.search import Search
from shared.db.dependency import DatabaseDep
from shared.http.identity import AdminDep, CallerDep
from shared.http.openapi import described
from shared.http.pagination import Cursor, Limit, Page

router = APIRouter(prefix="/v1/orders", tags=["orders"])


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    **described("place_order", "Place an order", RequestInFlight, IdempotencyKeyReused),
)
async def place_order(
    body: NewOrder, caller: CallerDep, db: DatabaseDep, response: Response, key: KeyHeader = None
) -> Order:
    """Place an order. With an `Idempotency-Key` it is placed once, however often the request is repeated within a
    day; a repeated request returns the same order and `Idempotent-Replayed: true`."""
    placed = await service.place_for(db, caller.user_id, body, key)
    response.headers["Location"] = f"/v1/orders/{placed.order.id}"
    if placed.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return placed.order


@router.get("", **described("list_orders", "List your orders"))
async def list_orders(
    caller: CallerDep,
    db: DatabaseDep,
    status: Status | None = None,
    text: TextQuery = None,
    since: FromQuery = None,
    until: ToQuery = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[OrderSummary]:
    """List or search your own orders, newest first, without their items. With `q`, a page may have fewer orders than
    `limit`, or none, although `next_cursor` continues the search."""
    return await service.read_page(db, caller.user_id, Search(status, text, since, until), cursor, limit)


@router.get("/daily", **described("sum_orders_by_day", "Sum up your orders by day"))
async def daily_orders(
    caller: CallerDep, db: DatabaseDep, days: daily.Days = 30, timezone: daily.TimeZone = "UTC"
) -> daily.DailyOrders:
    """Sum up your own orders by day, in your time zone, with the sums of as many days before."""
    return await daily.read(db, caller.user_id, days, timezone)


@router.get("/{order_id}", **described("read_order", "Read an order", OrderNotFound))
async def read_order(order_id: UUID, caller: CallerDep, db: DatabaseDep) -> Order:
    """Return one order; operators may read any user's."""
    return await service.read(db, order_id, None if caller.is_operator else caller.user_id)


@router.get("/{order_id}/history", **described("read_order_history", "Read the history of an order", OrderNotFound))
async def read_history(order_id: UUID, caller: CallerDep, db: DatabaseDep) -> History:
    """Return when the order was placed, paid, shipped or cancelled; operators may read any user's."""
    return await service.read_history(db, order_id, None if caller.is_operator else caller.user_id)


@router.post("/{order_id}/pay", **described("pay_order", "Pay an order", OrderNotFound, WrongState))
async def pay_order(order_id: UUID, caller: CallerDep, db: DatabaseDep) -> Order:
    """Pay an own order that is `created`. Paying it again changes nothing."""
    async with db.begin() as session:
        return await service.move(session, order_id, caller.user_id, Status.PAID)


@router.post("/{order_id}/cancel", **described("cancel_order", "Cancel an order", OrderNotFound, WrongState))
async def cancel_order(order_id: UUID, caller: CallerDep, db: DatabaseDep) -> Order:
    """Cancel an own order that is `created` or `paid`. Cancelling it again changes nothing."""
    async with db.begin() as session:
        return await service.move(session, order_id, caller.user_id, Status.CANCELLED)


@router.post("/{order_id}/ship", **described("ship_order", "Ship an order", OrderNotFound, WrongState))
async def ship_order(order_id: UUID, _admin: AdminDep, db: DatabaseDep) -> Order:
    """Ship any user's `paid` order; administrators only. Shipping it again changes nothing."""
    async with db.begin() as session:
        return await service.move(session, order_id, None, Status.SHIPPED)
