"""Reading orders. Each query starts with the owner; only administrators look up an order by its id alone."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from services.orders.errors import OrderNotFound
from services.orders.models import Order
from services.orders.states import Status


async def get(session: AsyncSession, order_id: UUID, owner: UUID | None, *, lock: bool = False) -> Order:
    """Return an order with its items; any user's if `owner` is None. Raises `OrderNotFound`."""
    query = sa.select(Order).where(Order.id == order_id).options(selectinload(Order.items))
    if owner is not None:
        query = query.where(Order.user_id == owner)
    if lock:
        query = query.with_for_update(key_share=True)
    order = await session.scalar(query)
    if order is None:
        raise OrderNotFound(order_id)
    return order


async def newest(
    session: AsyncSession, owner: UUID, status: Status | None, after: UUID | None, limit: int
) -> Sequence[Order]:
    """Return a user's orders without their items, newest first, starting after `after`."""
    query = sa.select(Order).where(Order.user_id == owner).order_by(Order.id.desc()).limit(limit)
    if status is not None:
        query = query.where(Order.status == status)
    if after is not None:
        query = query.where(Order.id < after)
    return (await session.scalars(query)).all()
