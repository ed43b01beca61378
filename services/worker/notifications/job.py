"""Creates dashboard notifications: one per event."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.worker.jobs import Batch, job
from shared.contracts import events
from shared.contracts.events import Envelope, Event
from shared.db.engine import Connection
from shared.money import format_money

ADD = """
    INSERT INTO notifications (user_id, id, kind, title, body, created_at, subject_kind, subject_id)
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::uuid[]
    )
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


class Subject(NamedTuple):
    kind: str | None
    id: UUID | None


def subject_of(event: Event) -> Subject:
    """Return what the notification of an event is about."""
    match event:
        case events.OrderCreated() | events.OrderChanged():
            return Subject("order", event.order_id)
        case events.ImportCompleted():
            return Subject("import", event.import_id)
        case _:
            return Subject(None, None)


def row_of(envelope: Envelope) -> tuple[Any, ...]:
    """Store it under the event's own id, which sorts by time."""
    event = envelope.event
    text = TEXTS[event.type](event)
    return event.user_id, envelope.id, event.type, text.title, text.body, envelope.time, *subject_of(event)


@job(
    name="notifications",
    on=(
        events.UserRegistered,
        events.OrderCreated,
        events.OrderPaid,
        events.OrderShipped,
        events.OrderCancelled,
        events.ImportCompleted,
    ),
    batch=Batch(size=100, wait_ms=10),
    ends_with_user=True,
    panels=["notifications"],
)
async def add(envelopes: Sequence[Envelope], connection: Connection) -> None:
    if rows := [row_of(envelope) for envelope in envelopes]:
        await connection.execute(ADD, *zip(*rows, strict=True))
