"""The life of an order, as pure decisions.

    created ──▶ paid ──▶ shipped
       │          │
       └────┬─────┘
            ▼
        cancelled

What is shipped or cancelled stays so.
"""

from enum import StrEnum

from services.orders.errors import WrongState


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


def is_change(current: Status, target: Status) -> bool:
    """Return whether `target` changes an order: False if it has that status already, so that a command may be repeated.

    Raises `WrongState` if the transition is not allowed.
    """
    if target == current:
        return False
    if target not in NEXT[current]:
        raise WrongState(current, target)
    return True
