"""Creates dashboard notifications: one per event."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from services.worker.ledger.job import Batching, Job, Policy
from shared.contracts import events
from shared.contracts.events import Envelope
from shared.db.engine import Connection
from shared.money import format_money

BATCH_SIZE = 100
BATCH_WAIT_S = 0.01
POLICY = Policy(
    attempts=12,
    backoff_base_s=1,
    backoff_cap_s=600,
    prefetch=3 * BATCH_SIZE,
    concurrency=2,
    ends_with_user=True,
)

ADD = """
    INSERT INTO notifications (user_id, id, kind, title, body, created_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    ON CONFLICT DO NOTHING
"""


class Text(NamedTuple):
    title: str
    body: str


TEXTS: dict[str, Callable[[Any], Text]] = {
    events.UserRegistered.type: lambda user: Text("Welcome", f"Welcome, {user.name}."),
    events.OrderCreated.type: lambda order: Text("Order received", f"We have received your order of {_total(order)}."),
    events.OrderPaid.type: lambda order: Text("Order paid", f"Thank you for your payment of {_total(order)}."),
    events.OrderShipped.type: lambda order: Text("Order shipped", f"Your order of {_total(order)} is on its way."),
    events.OrderCancelled.type: lambda order: Text("Order cancelled", f"Your order of {_total(order)} is cancelled."),
    events.ImportCompleted.type: lambda ended: Text(f"Import {ended.state}", _imported(ended)),
}


def _total(order: events.OrderCreated | events.OrderChanged) -> str:
    return format_money(order.total, order.currency)


def _imported(ended: events.ImportCompleted) -> str:
    failed = f" {ended.rows_failed} could not be imported." if ended.rows_failed else ""
    return f"{ended.rows_done} of {ended.rows_total} orders were imported.{failed}"


def row_of(envelope: Envelope) -> tuple[Any, ...]:
    """Store it under the event's own id, which sorts by time."""
    event = envelope.event
    text = TEXTS[event.type](event)
    return event.user_id, envelope.id, event.type, text.title, text.body, envelope.time


async def add(connection: Connection, envelopes: Sequence[Envelope]) -> None:
    if rows := [row_of(envelope) for envelope in envelopes]:
        await connection.execute(ADD, *zip(*rows, strict=True))


def job() -> Job:
    batching = Batching(effect=add, size=BATCH_SIZE, wait_s=BATCH_WAIT_S)
    return Job(
        name="notifications", policy=POLICY, effect=batching.on_one, batching=batching, panels=("notifications",)
    )
