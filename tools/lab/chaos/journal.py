"""The responses that the clients of a run received: the reference for the final checks."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass
class PlacedOrder:
    """An order with the response 201; `status` is the last one that a client received."""

    id: UUID
    user_id: UUID
    email: str
    key: str
    total: int
    status: str = "created"
    changes: list[str] = field(default_factory=list)
    answered_at: float = field(default_factory=time.time)
    """Seconds since the epoch."""

    @property
    def number(self) -> str:
        """The order's number in mails."""
        return self.id.hex[-8:].upper()


@dataclass
class Journal:
    persons: dict[UUID, str] = field(default_factory=dict)
    """The addresses of all persons whose registration was confirmed."""
    orders: dict[UUID, PlacedOrder] = field(default_factory=dict)
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    """The number of requests (place, pay, …) by outcome, repetitions included."""
    unanswered: list[str] = field(default_factory=list)
    """Requests without a definite response, even long after the last fault."""
    wrong: list[str] = field(default_factory=list)
    """Definite responses that are wrong."""
    tasks: set[UUID] = field(default_factory=set)
    """The tasks whose commit was confirmed."""
    rolled_back: set[UUID] = field(default_factory=set)
    """The tasks whose transaction was rolled back on purpose."""
    requested_runs: set[UUID] = field(default_factory=set)
    """The runs of the schedule that a response to the operator confirmed."""
    ticks_end: datetime | None = None
    """The first tick of the schedule that may not run, because the schedule was paused; None if it was never
    resumed."""

    def expected_notifications(self) -> Counter[tuple[UUID, str]]:
        expected = Counter((user_id, "user.registered") for user_id in self.persons)
        for order in self.orders.values():
            expected[order.user_id, "order.created"] += 1
            expected.update((order.user_id, f"order.{change}") for change in order.changes)
        return expected
