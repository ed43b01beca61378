"""What a message of the live feed says has changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from services.gateway.panels import PANELS
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


def _touched_by(event: type[events.Event]) -> tuple[str, ...] | None:
    if event is events.UserDeleted:
        return None
    return tuple(panel.name for panel in PANELS if event in panel.changed_by)


TOUCHED = {name: _touched_by(event) for name, event in events.EVENTS.items()}
"""The panels that an event changes at once, as they are declared; a deletion may change any, and so may an event that
is not known. What the worker makes of an event later, its hints tell."""

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
