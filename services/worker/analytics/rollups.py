"""Folds order events into totals by addition only, so that neither the order of the events nor the size of the
batches matters."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from uuid import UUID

from shared.contracts.events import Event, OrderCancelled, OrderChanged, OrderCreated, OrdersImported

CREATED = "created"


@dataclass(slots=True)
class OfUser:
    orders: int = 0
    items: int = 0
    last_order_at: datetime | None = None


@dataclass(slots=True)
class Sum:
    """`orders` counts the orders that `revenue` includes, except by day: there it counts all placed orders."""

    orders: int = 0
    revenue: int = 0

    def add(self, orders: int, revenue: int) -> None:
        self.orders += orders
        self.revenue += revenue


@dataclass(slots=True)
class Deltas:
    """The changes of events: by user, by user and status, by user and currency, by user, UTC day and currency."""

    users: dict[UUID, OfUser] = field(default_factory=lambda: defaultdict(OfUser))
    statuses: dict[tuple[UUID, str], int] = field(default_factory=lambda: defaultdict(int))
    currencies: dict[tuple[UUID, str], Sum] = field(default_factory=lambda: defaultdict(Sum))
    days: dict[tuple[UUID, date, str], Sum] = field(default_factory=lambda: defaultdict(Sum))


def fold(events: Iterable[Event]) -> Deltas:
    """Return the sum of the changes of all events; events that are not about an order change nothing."""
    deltas = Deltas()
    for event in events:
        if isinstance(event, OrderCreated):
            _created(deltas, event)
        elif isinstance(event, OrdersImported):
            _imported(deltas, event)
        elif isinstance(event, OrderChanged):
            _changed(deltas, event)
    return deltas


def utc_day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _created(deltas: Deltas, event: OrderCreated) -> None:
    user = deltas.users[event.user_id]
    user.orders += 1
    user.items += event.item_count
    user.last_order_at = max(user.last_order_at or event.created_at, event.created_at)
    deltas.statuses[event.user_id, CREATED] += 1
    deltas.currencies[event.user_id, event.currency].add(1, event.total)
    deltas.days[event.user_id, utc_day(event.created_at), event.currency].add(1, event.total)


def _imported(deltas: Deltas, event: OrdersImported) -> None:
    user = deltas.users[event.user_id]
    user.last_order_at = max(user.last_order_at or event.last_order_at, event.last_order_at)
    for one in event.sums:
        user.orders += one.orders
        user.items += one.items
        deltas.statuses[event.user_id, CREATED] += one.orders
        deltas.currencies[event.user_id, one.currency].add(one.orders, one.revenue)
        deltas.days[event.user_id, one.day, one.currency].add(one.orders, one.revenue)


def _changed(deltas: Deltas, event: OrderChanged) -> None:
    status = event.type.removeprefix("order.")
    deltas.statuses[event.user_id, event.previous_status] -= 1
    deltas.statuses[event.user_id, status] += 1
    if isinstance(event, OrderCancelled):
        deltas.currencies[event.user_id, event.currency].add(-1, -event.total)
        deltas.days[event.user_id, utc_day(event.created_at), event.currency].add(0, -event.total)


MOST = 9 * 10**18
"""Slightly below the limit of a bigint, so that the previous release can still add to it."""


def parts(revenue: str) -> tuple[str, str]:
    """Return SQL for both columns, from SQL for a numeric."""
    within = f"greatest(least({revenue}, {MOST}), -{MOST})"
    return within, f"{revenue} - {within}"


def added(table: str) -> tuple[str, str]:
    """Return SQL for both columns after a conflict: the values in `table` plus those of the insert."""
    return parts(f"({table}.revenue + {table}.revenue_beyond + excluded.revenue + excluded.revenue_beyond)")
