"""The tables, and the life of an order.

Every table about one user has `user_id` first in its key, so that each can be sharded by it.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from services.orders.errors import WrongState
from shared.db.engine import TYPES
from shared.db.personal_data import Kept, NotExported, Part, PersonalData
from shared.outbox.outbox import outbox_table


class Status(StrEnum):
    CREATED = "created"
    PAID = "paid"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


NEXT: dict[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.PAID, Status.CANCELLED}),
    Status.PAID: frozenset({Status.SHIPPED, Status.CANCELLED}),
    Status.SHIPPED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""The life of an order. What is shipped or cancelled stays so.

    created ──▶ paid ──▶ shipped
       │          │
       └────┬─────┘
            ▼
        cancelled
"""


def is_change(current: Status, target: Status) -> bool:
    """Return whether `target` changes an order: False if it has that status already, so that a command may be repeated.

    Raises `WrongState` if the transition is not allowed.
    """
    if target == current:
        return False
    if target not in NEXT[current]:
        raise WrongState(current, target)
    return True


class Base(DeclarativeBase):
    type_annotation_map = TYPES


class Order(PersonalData, Base):
    __tablename__ = "orders"
    __export__ = Part(
        "orders",
        """
        id, status, currency, total, item_count, reference, created_at, updated_at, (
            SELECT json_agg(json_build_object(
                'sku', sku, 'name', name, 'quantity', quantity, 'unit_price', unit_price
            ) ORDER BY position)
            FROM order_items WHERE order_items.user_id = orders.user_id AND order_id = orders.id
        ) AS items, (
            SELECT json_agg(json_build_object('status', changes.status, 'at', at) ORDER BY at)
            FROM order_changes AS changes WHERE changes.user_id = orders.user_id AND order_id = orders.id
        ) AS changes
        """,
    )
    __erasure__ = Kept("orders stay, under an id that identifies no one")

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[Status] = mapped_column(sa.Text)
    currency: Mapped[str]
    total: Mapped[int] = mapped_column(sa.BigInteger)
    item_count: Mapped[int]
    mail: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    reference: Mapped[str | None]
    """The user's own name for an imported order."""
    items: Mapped[list["OrderItem"]] = relationship(lazy="raise", order_by="OrderItem.position")

    # For administrators, who look up an order by its id alone.
    __table_args__ = (
        sa.Index("orders_id", "id"),
        sa.Index(
            "orders_reference",
            "user_id",
            "reference",
            unique=True,
            postgresql_where=sa.text("reference IS NOT NULL"),
        ),
        # For the panel, which reads only these columns.
        sa.Index(
            "orders_panel",
            "user_id",
            "id",
            postgresql_include=["status", "total", "currency", "item_count", "created_at"],
        ),
    )


class OrderItem(PersonalData, Base):
    __tablename__ = "order_items"
    __export__ = NotExported("in the part of its order")
    __erasure__ = Kept("part of its order")

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str]
    name: Mapped[str]
    quantity: Mapped[int]
    unit_price: Mapped[int] = mapped_column(sa.BigInteger)

    __table_args__ = (
        sa.ForeignKeyConstraint(["user_id", "order_id"], ["orders.user_id", "orders.id"], ondelete="CASCADE"),
    )


class OrderChange(PersonalData, Base):
    """When an order got a status other than its first; it gets each at most once."""

    __tablename__ = "order_changes"
    __export__ = NotExported("in the part of its order")
    __erasure__ = Kept("part of its order")

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[Status] = mapped_column(sa.Text, primary_key=True)
    at: Mapped[datetime]


class IdempotencyKey(PersonalData, Base):
    __tablename__ = "idempotency_keys"
    __export__ = NotExported("a hash of a request, for a day")
    __erasure__ = Kept("expires after a day")

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    order_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(index=True)


class Outbox(PersonalData, Base):
    __table__ = outbox_table(Base.metadata)
    __export__ = NotExported("copies of orders, until they are published")
    __erasure__ = Kept("events without a name or an address, deleted when they are published")
