"""Placing an order: its parts, and its event."""

from datetime import datetime
from uuid import UUID

from services.orders.schemas import NewOrder, Order
from services.orders.states import Status
from shared.clock import now
from shared.contracts import events
from shared.ids import new_id


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
