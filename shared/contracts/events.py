"""Every event of the system, and its wire format.

On the wire an event is a persistent AMQP message: the fields below as a JSON body, and as headers the CloudEvents
attributes (`id`, `type`, `source`, `time`, `subject` = the user's id, `dataschema` with the version) and `traceparent`.
`message_id` is the event's id. A consumer may receive an event twice and in any order. A task
(`shared.contracts.tasks`) is sent in the same way; its optional headers are `due`, `key` and `seen` (see `Envelope`).

An event may only gain fields, each with a default; any other change requires a new version.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event about one user; `user_id` is the sharding key."""

    type: ClassVar[str]
    version: ClassVar[int] = 1
    category: ClassVar[str] = "event"

    user_id: UUID


class UserRegistered(Event, frozen=True, kw_only=True):
    """`revision` counts the changes to a user from 1, so that a consumer can tell which of two events is newer.

    `email_verified` is true in events from before addresses were verified.
    """

    type: ClassVar[str] = "user.registered"

    email: str
    name: str
    revision: int
    registered_at: datetime
    email_verified: bool = True


class UserUpdated(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "user.updated"

    email: str
    name: str
    revision: int
    updated_at: datetime
    email_verified: bool = True


class CredentialsRevoked(Event, frozen=True, kw_only=True):
    """The owner of an account has proved to be its owner: what was set up before must not act for them any more.

    `reason` is `verified` (the first verification of an address) or `reset` (of the password).
    """

    type: ClassVar[str] = "user.credentials_revoked"

    reason: str
    revoked_at: datetime


class UserDeleted(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "user.deleted"

    revision: int
    deleted_at: datetime


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """`unit_price` in minor units of the order's currency."""

    sku: str
    name: str
    quantity: int
    unit_price: int


class OrderCreated(Event, frozen=True, kw_only=True):
    """`total` in minor units of `currency`; `item_count` is the sum of the quantities.

    `mail` is false for orders that are counted but not confirmed by mail (imported and demo orders).
    """

    type: ClassVar[str] = "order.created"

    order_id: UUID
    currency: str
    total: int
    item_count: int
    items: tuple[OrderLine, ...]
    created_at: datetime
    mail: bool = True


class ImportedSum(msgspec.Struct, frozen=True, kw_only=True):
    """Imported orders that share a currency and the UTC day of their creation."""

    currency: str
    day: date
    orders: int
    items: int
    revenue: int


class OrdersImported(Event, frozen=True, kw_only=True):
    """Many orders that an import has placed, instead of one `order.created` for each."""

    type: ClassVar[str] = "orders.imported"

    import_id: UUID
    sums: tuple[ImportedSum, ...]
    last_order_at: datetime


class OrderChanged(Event, frozen=True, kw_only=True):
    """The common fields of the three order status events.

    Each carries what a rollup needs to fold it alone, without the order: the previous status, the creation time of the
    order, its total and its currency.
    """

    order_id: UUID
    previous_status: str
    currency: str
    total: int
    created_at: datetime
    changed_at: datetime
    mail: bool = True


class OrderPaid(OrderChanged, frozen=True, kw_only=True):
    type: ClassVar[str] = "order.paid"


class OrderShipped(OrderChanged, frozen=True, kw_only=True):
    type: ClassVar[str] = "order.shipped"


class OrderCancelled(OrderChanged, frozen=True, kw_only=True):
    type: ClassVar[str] = "order.cancelled"


class ImportRequested(Event, frozen=True, kw_only=True):
    """A file of orders has been stored and can be imported."""

    type: ClassVar[str] = "import.requested"

    import_id: UUID
    requested_at: datetime


class ImportCompleted(Event, frozen=True, kw_only=True):
    """An import has ended: `state` is completed, failed or cancelled. `rows_done` became orders, `rows_failed` could
    not be imported."""

    type: ClassVar[str] = "import.completed"

    import_id: UUID
    state: str
    rows_total: int
    rows_done: int
    rows_failed: int
    completed_at: datetime


class WebhookPing(Event, frozen=True, kw_only=True):
    """A user tests one of their webhooks. It is sent only to that webhook, never through RabbitMQ."""

    type: ClassVar[str] = "webhook.ping"

    webhook_id: UUID


EVENTS: dict[str, type[Event]] = {
    kind.type: kind
    for kind in (
        UserRegistered,
        UserUpdated,
        CredentialsRevoked,
        UserDeleted,
        OrderCreated,
        OrdersImported,
        OrderPaid,
        OrderShipped,
        OrderCancelled,
        ImportRequested,
        ImportCompleted,
        WebhookPing,
    )
}
KINDS: dict[str, type[Event]] = dict(EVENTS)
"""Events, and the tasks that have been defined (`shared.contracts.tasks`), by type."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An event or a task with its wire attributes."""

    id: UUID
    time: datetime
    event: Event
    traceparent: str | None = None
    due_at: datetime | None = None
    """When a delayed task is due."""
    key: str | None = None
    """Of all tasks with the same type and key that were added before one of them starts, one runs."""
    seen_at: datetime | None = None
    """When the relay saw a task with a key, by the clock of the database to which it was added: after its commit."""


Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A timezone-aware time: RFC 3339 requires an offset."""


class UnreadableEvent(ValueError):
    """A message is not an event of this system: not JSON, an unknown type, or invalid fields. Permanent."""


def encode(event: Event) -> bytes:
    """Return the JSON body."""
    return msgspec.json.encode(event)


def schema_of(kind: type[Event]) -> str:
    """Return the `dataschema` attribute: type and version."""
    name = kind.type.removeprefix(f"{kind.category}.")
    return f"urn:dashboard:{kind.category}:{name}:{kind.version}"


def decode(headers: Mapping[str, Any], body: bytes) -> Envelope:
    """Decode the event in a message, by its `type` header. Raises `UnreadableEvent`."""
    try:
        kind = KINDS[headers["type"]]
        _check_version(kind, headers.get("dataschema"))
        return Envelope(
            id=UUID(str(headers["id"])),
            time=msgspec.convert(headers["time"], Moment),
            event=msgspec.json.decode(body, type=kind),
            traceparent=_text(headers.get("traceparent")),
            due_at=msgspec.convert(headers.get("due"), Moment | None),
            key=_text(headers.get("key")),
            seen_at=msgspec.convert(headers.get("seen"), Moment | None),
        )
    except KeyError as missing:
        raise UnreadableEvent(f"unknown event type or missing header: {missing}") from None
    except (ValueError, TypeError, RecursionError) as broken:  # msgspec's errors are ValueErrors
        raise UnreadableEvent(str(broken)) from broken


def _check_version(kind: type[Event], dataschema: object) -> None:
    """Raises `UnreadableEvent` for another version of this type. A message without the attribute has the only one."""
    if dataschema is not None and dataschema != schema_of(kind):
        raise UnreadableEvent(f"{dataschema} is not readable: this worker knows {schema_of(kind)}")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
