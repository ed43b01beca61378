"""The search of a user's own orders: by status, time and text."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.orders.models import Order, OrderItem, Status
from shared.ids import first_id

EXAMINED = 5_000
"""A search for text examines at most so many orders for one page: its cost does not grow with the number of orders."""
ID_TOLERANCE = timedelta(hours=1)
"""An id sorts by the time of its order, which was read from a clock a moment earlier or later."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a list contains: `since` (inclusive) and `until` (exclusive) are aware, and limit the time of creation.

    `text` is part of an item's name, of its SKU or of the reference, or the end of the order's id: its number.
    """

    status: Status | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def conditions(owner: UUID, search: Search, after: UUID | None) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that an index answers, so all but the text; `after` is the last order before the page."""
    found: list[sa.ColumnElement[bool]] = [Order.user_id == owner]
    if search.status is not None:
        found.append(Order.status == search.status)
    if search.since is not None:
        found += [Order.created_at >= search.since, Order.id >= first_id(search.since, -ID_TOLERANCE)]
    if search.until is not None:
        found += [Order.created_at < search.until, Order.id < first_id(search.until, ID_TOLERANCE)]
    if after is not None:
        found.append(Order.id < after)
    return found


def contains(text: str) -> sa.ColumnElement[bool]:
    """Return the condition for orders with this text, in any case."""
    in_an_item = (
        sa.select(sa.true())
        .where(OrderItem.user_id == Order.user_id, OrderItem.order_id == Order.id)
        .where(sa.or_(_within(OrderItem.name, text), _within(OrderItem.sku, text)))
        .exists()
    )
    number = sa.cast(Order.id, sa.Text).iendswith(text, autoescape=True)
    return sa.or_(in_an_item, number, _within(Order.reference, text))


def _within(column: Any, text: str) -> sa.ColumnElement[bool]:
    found: sa.ColumnElement[bool] = column.icontains(text, autoescape=True)
    return found
