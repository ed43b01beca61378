"""The panels of a dashboard, in the order in which they appear, and what counts as an answer to one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import msgspec

from services.gateway.dashboard import Answer
from shared import events
from shared.errors import InvalidInput
from shared.tokens import Role

Service = Literal["users", "orders", "worker"]
EVERYONE: tuple[Role, ...] = get_args(Role)


USER_MISSING = Answer(user_missing=True)
BAD_PANEL = Answer(error="bad_response")


class MalformedAnswer(Exception):
    """Not an answer to the question that was asked."""


@dataclass(frozen=True)
class Panel:
    """`knows_users`: a user whom this panel's service does not know does not exist.

    `changed_by`: the events after which it looks different. What jobs of the worker change, they tell themselves.
    """

    name: str
    service: Service
    timeout_ms: int
    kind: Literal["object", "list"]
    audience: tuple[Role, ...] = EVERYONE
    knows_users: bool = False
    changed_by: tuple[type[events.Event], ...] = ()

    @cached_property
    def path(self) -> str:
        return f"/internal/panels/{self.name}"

    @cached_property
    def call(self) -> str:
        """What a call for it is named in traces."""
        return f"POST {self.path}"

    @cached_property
    def timeout_s(self) -> float:
        return self.timeout_ms / 1000

    @cached_property
    def opening(self) -> bytes:
        """How the panel's JSON begins."""
        return b"{" if self.kind == "object" else b"["


PANELS = (
    Panel(
        "user",
        "users",
        timeout_ms=500,
        kind="object",
        knows_users=True,
        changed_by=(events.UserRegistered, events.UserUpdated),
    ),
    Panel(
        "orders",
        "orders",
        timeout_ms=800,
        kind="list",
        changed_by=(
            events.OrderCreated,
            events.OrdersImported,
            events.OrderPaid,
            events.OrderShipped,
            events.OrderCancelled,
        ),
    ),
    Panel("notifications", "worker", timeout_ms=800, kind="list"),
    Panel("analytics", "worker", timeout_ms=800, kind="object"),
)


class RawAnswers(msgspec.Struct, frozen=True):
    """What a service says of one panel (`shared.contracts.panels`), with ids as the text they are."""

    items: dict[str, msgspec.Raw]
    missing: list[str] = []


_decoder = msgspec.json.Decoder(RawAnswers)


def select(names: Sequence[str] | None, role: Role) -> list[Panel]:
    """The panels asked for, in their own order; all that the role may see when none are named."""
    visible = [panel for panel in PANELS if role in panel.audience]
    if names is None:
        return visible
    known = ", ".join(panel.name for panel in visible)
    if unknown := set(names) - {panel.name for panel in visible}:
        raise InvalidInput.of("panels", f"knows {known}; not {min(unknown)[:40]!r}")
    return [panel for panel in visible if panel.name in names]


def read_answers(panel: Panel, user_ids: Sequence[str], body: bytes, max_bytes: int) -> list[Answer]:
    """What a service says of these users (canonical ids), in their order. A bad panel costs that user's answer alone.

    `max_bytes` bounds one user's panel. Raises `MalformedAnswer` when the body as a whole says nothing.
    """
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise MalformedAnswer(str(broken)) from broken
    missing = frozenset(answer.missing) if panel.knows_users else frozenset[str]()
    find, opening, all_text = answer.items.get, panel.opening, _is_utf8(body)
    answers = []
    for user_id in user_ids:
        if (found := find(user_id)) is None:
            answers.append(USER_MISSING if user_id in missing else BAD_PANEL)
            continue
        data = bytes(found)  # of its own: what is kept of it does not keep all of the body
        good = len(data) <= max_bytes and data.startswith(opening) and (all_text or _is_utf8(data))
        answers.append(Answer(msgspec.Raw(data)) if good else BAD_PANEL)
    return answers


def _is_utf8(data: bytes) -> bool:
    """msgspec leaves what it keeps raw unchecked, and we splice it."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
