"""The panels of a dashboard, in the order in which they appear, and what counts as an answer to one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

import msgspec

from shared.errors import InvalidInput
from shared.panels import PanelAnswer
from shared.tokens import Role

Service = Literal["users", "orders", "worker"]
EVERYONE: tuple[Role, ...] = get_args(Role)


class UserMissing(Exception):
    """The service that knows all users knows no such user."""


class MalformedAnswer(Exception):
    """Not an answer to the question that was asked."""


@dataclass(frozen=True)
class Panel:
    """`knows_users`: a user whom this panel's service does not know does not exist."""

    name: str
    service: Service
    timeout_ms: int
    kind: Literal["object", "list"]
    audience: tuple[Role, ...] = EVERYONE
    knows_users: bool = False

    @property
    def path(self) -> str:
        return f"/internal/panels/{self.name}"


PANELS = (
    Panel("user", "users", timeout_ms=500, kind="object", knows_users=True),
    Panel("orders", "orders", timeout_ms=800, kind="list"),
    Panel("notifications", "worker", timeout_ms=800, kind="list"),
    Panel("analytics", "worker", timeout_ms=800, kind="object"),
)

_decoder = msgspec.json.Decoder(PanelAnswer)


def select(names: Sequence[str] | None, role: Role) -> list[Panel]:
    """The panels asked for, in their own order; all that the role may see when none are named."""
    visible = [panel for panel in PANELS if role in panel.audience]
    if names is None:
        return visible
    known = ", ".join(panel.name for panel in visible)
    if unknown := set(names) - {panel.name for panel in visible}:
        raise InvalidInput.of("panels", f"knows {known}; not {min(unknown)[:40]!r}")
    return [panel for panel in visible if panel.name in names]


def read_answer(panel: Panel, user_id: UUID, body: bytes) -> msgspec.Raw:
    """The panel's JSON out of a service's answer. Raises `UserMissing` or `MalformedAnswer`."""
    try:
        body.decode()  # msgspec leaves what it keeps raw unchecked for UTF-8, and we splice it
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise MalformedAnswer(str(broken)) from broken
    found = answer.items.get(user_id)
    if found is None:
        if panel.knows_users and user_id in answer.missing:
            raise UserMissing
        raise MalformedAnswer("says nothing of the user asked for")
    if not bytes(found).startswith(b"{" if panel.kind == "object" else b"["):
        raise MalformedAnswer(f"is no {panel.kind}")
    return found
