"""The operations on orders, each with its event."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from services.orders import idempotency, models
from services.orders.errors import RequestInFlight
from services.orders.models import Status, is_change
from services.orders.repository import OrderRepository
from services.orders.schemas import Change, History, NewOrder, Order, OrderSummary
from services.orders.search import EXAMINED, Search
from shared.clock import now
from shared.contracts import events
from shared.db.engine import Connection, Database
from shared.http import pagination
from shared.ids import new_id
from shared.outbox import outbox

EVENTS: dict[Status, type[events.OrderChanged]] = {
    Status.PAID: events.OrderPaid,
    Status.SHIPPED: events.OrderShipped,
    Status.CANCELLED: events.OrderCancelled,
}


class Placed(NamedTuple):
    order: Order
    replayed: bool = False


async def place(
    connection: Connection,
    user_id: UUID,
    body: NewOrder,
    *,
    created_at: datetime | None = None,
    mail: bool = True,
) -> Order:
    """Place an order, with its event. Past orders are given `created_at` (aware); `mail=False` suppresses the
    confirmation mail."""
    order = draft(user_id, body, created_at)
    await OrderRepository.create(connection, order, event_of(order, mail))
    return order


async def place_for(db: Database, user_id: UUID, body: NewOrder, key: str | None) -> Placed:
    """Place an order unless this key has placed it already; then return that order, as it is now."""
    if key is not None:
        return await _place_once(db, user_id, body, key)
    async with db.connection() as connection:
        return Placed(await place(connection, user_id, body))


async def _place_once(db: Database, user_id: UUID, body: NewOrder, key: str) -> Placed:
    claim = idempotency.claim_of(key, body)
    order = draft(user_id, body)
    try:
        async with db.connection() as connection:
            if await OrderRepository.create(connection, order, event_of(order, mail=True), claim):
                return Placed(order)
            placed = await idempotency.order_of(connection, user_id, claim)
    except asyncpg.LockNotAvailableError as waited:
        raise RequestInFlight from waited
    if placed is None:
        raise RequestInFlight
    return Placed(await read(db, placed, user_id), replayed=True)


def draft(user_id: UUID, body: NewOrder, created_at: datetime | None = None) -> Order:
    """The order that a body requests; `created_at` (aware) is set for past orders."""
    placed_at = created_at or now()
    return Order(
        id=new_id(created_at),
        user_id=user_id,
        status=Status.CREATED,
        currency=body.currency,
        total=body.total,
        item_count=body.item_count,
        items=body.items,
        created_at=placed_at,
        updated_at=placed_at,
    )


def event_of(order: Order, mail: bool) -> events.OrderCreated:
    """Return the event of a new order; with `mail` the user receives a confirmation."""
    lines = (
        events.OrderLine(sku=item.sku, name=item.name, quantity=item.quantity, unit_price=item.unit_price)
        for item in order.items
    )
    return events.OrderCreated(
        user_id=order.user_id,
        order_id=order.id,
        currency=order.currency,
        total=order.total,
        item_count=order.item_count,
        items=tuple(lines),
        created_at=order.created_at,
        mail=mail,
    )


async def read(db: Database, order_id: UUID, owner: UUID | None) -> Order:
    """Return one order; any user's if `owner` is None. Raises `OrderNotFound`."""
    async with db.begin() as session:
        return Order.model_validate(await OrderRepository(session).get_with_items(order_id, owner))


async def read_page(
    db: Database, owner: UUID, search: Search, cursor: str | None, limit: int, examined: int = EXAMINED
) -> pagination.Page[OrderSummary]:
    """Return a page of a user's orders, newest first. A page of a search for text may be short, or even empty, and not
    be the last one."""
    after = pagination.decode_cursor(cursor)
    async with db.begin() as session:
        rows, last = await OrderRepository(session).page(owner, search, after, limit + 1, examined)
    page, next_cursor = pagination.page_of(rows, limit, lambda row: row.id)
    if next_cursor is None and last is not None:
        next_cursor = pagination.encode_cursor(last)
    return pagination.Page(items=[OrderSummary.model_validate(row) for row in page], next_cursor=next_cursor)


async def read_history(db: Database, order_id: UUID, owner: UUID | None) -> History:
    """Return when an order got each status; any user's if `owner` is None. Raises `OrderNotFound`."""
    async with db.begin() as session:
        orders = OrderRepository(session)
        order = await orders.get(order_id, owner)
        changes = await orders.changes(order)
    return History(items=history_of(order, [Change.model_validate(change) for change in changes]))


def history_of(order: models.Order, changes: Sequence[Change]) -> list[Change]:
    """Return the statuses of an order: its creation, the recorded changes, and the present status if the change to it
    was not recorded, which the previous release did not do."""
    known = [Change(status=Status.CREATED, at=order.created_at), *changes]
    if known[-1].status != order.status:
        known.append(Change(status=order.status, at=order.updated_at))
    return known


async def move(
    session: AsyncSession, order_id: UUID, owner: UUID | None, target: Status, *, at: datetime | None = None
) -> Order:
    """Change an order's status to `target`, with the event of the change; `at` (aware) for a past change.

    An order that already has this status is returned unchanged, without a second event. Any user's if `owner` is None.
    Raises `OrderNotFound`, `WrongState`.
    """
    orders = OrderRepository(session)
    order = await orders.get_with_items(order_id, owner, lock=True)
    previous = Status(order.status)
    if is_change(previous, target):
        await orders.update_status(order, target, at or now())
        await outbox.add(session, _change(order, previous))
    return Order.model_validate(order)


def _change(order: models.Order, previous: Status) -> events.OrderChanged:
    return EVENTS[Status(order.status)](
        user_id=order.user_id,
        order_id=order.id,
        previous_status=previous,
        currency=order.currency,
        total=order.total,
        created_at=order.created_at,
        changed_at=order.updated_at,
        mail=order.mail,
    )
