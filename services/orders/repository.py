"""Orders in the database."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.interfaces import ORMOption

from services.orders import idempotency, schemas
from services.orders.errors import OrderNotFound
from services.orders.models import Order, OrderChange, Status
from services.orders.search import EXAMINED, Search, conditions, contains
from shared.contracts import events
from shared.db.engine import Connection
from shared.outbox import outbox

# One statement writes the order, its items, its event and the idempotency key. It is a hot path, so it uses asyncpg,
# which keeps it prepared on each connection. `tools/lab/bench/orders.py` compares it with the ORM.
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

CREATE = f"WITH claimed AS (SELECT), {_WRITE}"
CREATE_ONCE = f"WITH {idempotency.CLAIM}, {_WRITE}"


class OrderRepository:
    """Works in the transaction of its session and never commits it. `owner` limits a query to the orders of one
    user. It is None for operators, who may look up an order by its id alone."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, order_id: UUID, owner: UUID | None, *options: ORMOption, lock: bool = False) -> Order:
        """Return an order without its items. With `lock`, no other transaction can change it before this one ends.
        Raises `OrderNotFound`."""
        query = sa.select(Order).where(Order.id == order_id).options(*options)
        if owner is not None:
            query = query.where(Order.user_id == owner)
        if lock:
            query = query.with_for_update(key_share=True)
        order = await self._session.scalar(query)
        if order is None:
            raise OrderNotFound(order_id)
        return order

    async def get_with_items(self, order_id: UUID, owner: UUID | None, *, lock: bool = False) -> Order:
        """Return an order with `items` loaded, by a second query. Raises `OrderNotFound`."""
        return await self.get(order_id, owner, selectinload(Order.items), lock=lock)

    async def page(
        self, owner: UUID, search: Search, after: UUID | None, limit: int, examined: int = EXAMINED
    ) -> tuple[Sequence[Order], UUID | None]:
        """Return at most `limit` orders of a user without their items, newest first, starting after `after`, and the
        last order that was examined if there may be more behind it: a search for text examines `examined` at most."""
        where = conditions(owner, search, after)
        query = sa.select(Order).where(*where).order_by(Order.id.desc()).limit(limit)
        if search.text is None:
            return (await self._session.scalars(query)).all(), None
        nth = sa.select(Order.id).where(*where).order_by(Order.id.desc()).offset(examined - 1).limit(1)
        last = await self._session.scalar(nth)
        if last is not None:
            query = query.where(Order.id >= last)
        return (await self._session.scalars(query.where(contains(search.text)))).all(), last

    async def changes(self, order: Order) -> Sequence[OrderChange]:
        """Return the recorded changes of an order, oldest first."""
        query = sa.select(OrderChange).where(OrderChange.user_id == order.user_id, OrderChange.order_id == order.id)
        return (await self._session.scalars(query.order_by(OrderChange.at))).all()

    async def update_status(self, order: Order, status: Status, at: datetime) -> Order:
        """Write the new status, and `at` (aware) as the time of the change, which is recorded."""
        order.status, order.updated_at = status, at
        self._session.add(OrderChange(user_id=order.user_id, order_id=order.id, status=status, at=at))
        await self._session.flush()
        return order

    @staticmethod
    async def create(
        connection: Connection,
        order: schemas.Order,
        event: events.OrderCreated,
        claim: idempotency.Claim | None = None,
    ) -> bool:
        """Store a new order with its items and its event. Returns False, and stores nothing, if the claim's key is
        taken."""
        values = (
            order.user_id,
            order.id,
            order.status,
            order.currency,
            order.total,
            order.item_count,
            event.mail,
            order.created_at,
            [item.sku for item in order.items],
            [item.name for item in order.items],
            [item.quantity for item in order.items],
            [item.unit_price for item in order.items],
            *outbox.row(event),
        )
        if claim is None:
            return bool(await connection.fetchval(CREATE, *values))
        return bool(await connection.fetchval(CREATE_ONCE, *values, claim.key, claim.fingerprint))
