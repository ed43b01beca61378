"""What a message of the live feed says has changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from shared import events, topology


class UnreadableChange(ValueError):
    """A message that does not say whom it is about."""


@dataclass(frozen=True, slots=True)
class Change:
    """`panels` of the user look different now; None means any may. `body` is the message's, `kind` its routing key."""

    user_id: UUID
    panels: tuple[str, ...] | None
    kind: str
    body: bytes


class _Hint(msgspec.Struct, frozen=True):
    user_id: UUID
    panels: tuple[str, ...]


TOUCHED: dict[str, tuple[str, ...] | None] = {
    events.UserRegistered.type: ("user",),
    events.UserUpdated.type: ("user",),
    events.UserDeleted.type: None,
    events.OrderCreated.type: ("orders",),
    events.OrdersImported.type: ("orders",),
    events.OrderPaid.type: ("orders",),
    events.OrderShipped.type: ("orders",),
    events.OrderCancelled.type: ("orders",),
    events.ImportRequested.type: (),
    events.ImportCompleted.type: (),
    events.WebhookPing.type: (),
}
"""The panels that an event changes at once. What the worker makes of it later, its hints tell.

An event that is not named here may change any panel.
"""

_hint = msgspec.json.Decoder(_Hint)


def read_change(exchange: str, routing_key: str, headers: Mapping[str, Any], body: bytes) -> Change:
    """Raises `UnreadableChange`."""
    try:
        if exchange == topology.LIVE:
            hint = _hint.decode(body)
            return Change(hint.user_id, hint.panels, routing_key, body)
        return Change(UUID(str(headers["subject"])), TOUCHED.get(routing_key), routing_key, body)
    except (KeyError, ValueError, RecursionError) as broken:
        raise UnreadableChange(repr(broken)) from broken
