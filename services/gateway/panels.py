"""The panels of a dashboard, in the order in which they appear."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, get_args

from shared.contracts import events
from shared.errors import InvalidInput
from shared.http.tokens import Role

Service = str
"""A service by its name."""
EVERYONE: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, eq=False)
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
    timeout_s: float = field(init=False)
    opening: bytes = field(init=False)
    """How the panel's JSON begins."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeout_s", self.timeout_ms / 1000)
        object.__setattr__(self, "opening", b"{" if self.kind == "object" else b"[")


Panels = tuple[Panel, ...]
"""Some panels, in their order."""

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


@lru_cache(maxsize=256)
def by_service(panels: tuple[Panel, ...]) -> tuple[tuple[Service, tuple[Panel, ...]], ...]:
    """The same panels, those of one service together: they are read by one call."""
    services = dict.fromkeys([panel.service for panel in panels])
    return tuple([(name, tuple([panel for panel in panels if panel.service == name])) for name in services])


def select(names: Sequence[str] | None, role: Role) -> tuple[Panel, ...]:
    """The panels asked for, in their own order; all that the role may see when none are named."""
    visible = tuple(panel for panel in PANELS if role in panel.audience)
    if names is None:
        return visible
    known = ", ".join(panel.name for panel in visible)
    if unknown := set(names) - {panel.name for panel in visible}:
        raise InvalidInput.of("panels", f"knows {known}; not {min(unknown)[:40]!r}")
    return tuple(panel for panel in visible if panel.name in names)
