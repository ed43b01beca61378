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
    """`knows_users`: a user that this panel's service does not know does not exist.

    `changed_by`: the events that change it. Jobs of the worker announce their own changes.
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
    """Return the first character of the panel's JSON."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeout_s", self.timeout_ms / 1000)
        object.__setattr__(self, "opening", b"{" if self.kind == "object" else b"[")


Panels = tuple[Panel, ...]
"""An ordered set of panels."""

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
    """Return the same panels grouped by service: one call reads each group."""
    services = dict.fromkeys([panel.service for panel in panels])
    return tuple([(name, tuple([panel for panel in panels if panel.service == name])) for name in services])


def select(names: Sequence[str] | None, role: Role) -> tuple[Panel, ...]:
    """Return the requested panels, in their own order; by default all that the role may see."""
    visible = tuple(panel for panel in PANELS if role in panel.audience)
    if names is None:
        return visible
    known = ", ".join(panel.name for panel in visible)
    if unknown := set(names) - {panel.name for panel in visible}:
        raise InvalidInput.of("panels", f"the panels are {known}; not {min(unknown)[:40]!r}")
    return tuple(panel for panel in visible if panel.name in names)
