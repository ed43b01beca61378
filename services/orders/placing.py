"""Placing an order: one statement writes the order, its items, its event and the idempotency key.

A hot path, so it uses asyncpg, which keeps the statement prepared on each connection. `tools/lab/bench/orders.py`
compares it with the ORM.
"""

from datetime import datetime
from uuid import UUID

from services.orders import idempotency
from services.orders.schemas import NewOrder, Order
from services.orders.states import Status
from shared.clock import now
from shared.contracts import events
from shared.db.engine import Connection
from shared.ids import new_id
from shared.outbox import outbox

_WRITE = f"""
    placed AS (
        INSERT INTO orders (user_id, id, status, currency, total, item_count, mail, created_at, updated_at)
        SELECT $1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8::timestamptz, $8 FROM claimed
    ), listed AS (
        INSERT INTO order_items (user_id, order_id, position, sku, name, quantity, unit_price)
        SELECT $1, $2, position - 1, sku, name, quantity, unit_price
        FROM claimed, unnest($9::text[], $10::text[], $11::integer[], $12::bigint[])
            WITH ORDINALITY AS item (sku, name, quantity, unit_price, position)
    )
    INSERT INTO outbox ({", ".join(outbox.COLUMNS)})
    SELECT $13::uuid, $14::uuid, $15, $16, $17::jsonb, $18 FROM claimed
    RETURNING true
"""  # noqa: S608  constant names

PLACE = f"WITH claimed AS (SELECT), {_WRITE}"
PLACE_ONCE = f"WITH {idempotency.CLAIM}, {_WRITE}"


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


async def write(connection: Connection, order: Order, *, mail: bool, claim: idempotency.Claim | None = None) -> bool:
    """Store the complete order at once. Returns False, and stores nothing, if the key of the claim is taken."""
    values = (
        order.user_id,
        order.id,
        order.status,
        order.currency,
        order.total,
        order.item_count,
        mail,
        order.created_at,
        [item.sku for item in order.items],
        [item.name for item in order.items],
        [item.quantity for item in order.items],
        [item.unit_price for item in order.items],
        *outbox.row(event_of(order, mail)),
    )
    if claim is None:
        return bool(await connection.fetchval(PLACE, *values))
    return bool(await connection.fetchval(PLACE_ONCE, *values, claim.key, claim.fingerprint))
