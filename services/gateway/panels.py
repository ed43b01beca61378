"""Services and their panels, in the order in which they appear. `services.gateway.catalog` reads them from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, get_args

import msgspec

from shared.errors import InvalidInput
from shared.http.tokens import Role

Service = str
"""A service by its name."""
Protocol = Literal["batch", "rest"]
Kind = Literal["object", "list"]
EVERYONE: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class ServiceSpec:
    """A declared service: `urls` are those of its replicas, separated by commas.

    `internal`: it is part of this system, gets service tokens, and reports its health. `issuers`: whose users it knows;
    None means all that the gateway accepts. `headers` are sent with each request; `forward` names those of the caller
    that are passed on, in lower case.
    """

    name: Service
    urls: str
    internal: bool
    issuers: frozenset[str] | None
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    forward: tuple[str, ...]
    concurrency: int


class Subject(msgspec.Struct, frozen=True, gc=False):
    """The person whose panels are read, as services know them.

    `id` is the id in URLs and queries. Panels that need the caller's own token also get its `claims`, and the `headers`
    that may be forwarded, in lower case.
    """

    id: str
    claims: Mapping[str, object] = {}
    headers: Mapping[str, str] = {}


@dataclass(frozen=True, eq=False)
class Panel:
    """`knows_users`: a user that this panel's service does not know does not exist.

    `changed_by`: the types of the events that change it. Jobs of the worker announce their own changes.

    `max_age_s`: how long it is served from memory; None means the gateway's default if its changes are announced, and
    otherwise not at all.

    `get` is the path of a REST panel, and `pick` the JSON pointer into its response. `own_only`: it is read with the
    caller's own token, and so only for the caller's own dashboard. `issuers`: whose tokens it accepts; None means all.
    """

    name: str
    service: Service
    timeout_ms: int
    kind: Kind
    protocol: Protocol = "batch"
    title: str = ""
    roles: tuple[Role, ...] = EVERYONE
    knows_users: bool = False
    changed_by: tuple[str, ...] = ()
    max_age_s: float | None = None
    get: str = ""
    pick: tuple[str, ...] = ()
    own_only: bool = False
    issuers: frozenset[str] | None = None
    version: str = ""
    """A digest of how a REST panel is read: last known good values of another version are not shown."""
    timeout_s: float = field(init=False)
    opening: bytes = field(init=False)
    """The first character of the panel's JSON."""
    runner: str = field(init=False)
    """Names what reads it: one call reads the batch panels of a service."""
    needs_feed: bool = field(init=False)
    """Whether it is in memory only while changes are received."""
    is_cached: bool = field(init=False)
    stored_as: str = field(init=False)
    """Its name in Redis."""

    def __post_init__(self) -> None:
        is_batch = self.protocol == "batch"
        needs_feed = is_batch or bool(self.changed_by)
        object.__setattr__(self, "timeout_s", self.timeout_ms / 1000)
        object.__setattr__(self, "opening", b"{" if self.kind == "object" else b"[")
        object.__setattr__(self, "runner", self.service if is_batch else f"{self.service} (rest)")
        object.__setattr__(self, "needs_feed", needs_feed)
        object.__setattr__(self, "is_cached", needs_feed or bool(self.max_age_s))
        object.__setattr__(self, "stored_as", f"{self.name}@{self.version}" if self.version else self.name)


Panels = tuple[Panel, ...]
"""An ordered set of panels."""


@lru_cache(maxsize=256)
def by_runner(panels: tuple[Panel, ...]) -> tuple[tuple[str, tuple[Panel, ...]], ...]:
    """Return the same panels grouped by what reads them: one call reads the batch panels of a service."""
    runners = dict.fromkeys([panel.runner for panel in panels])
    return tuple([(name, tuple([panel for panel in panels if panel.runner == name])) for name in runners])


@lru_cache(maxsize=256)
def visible(panels: tuple[Panel, ...], role: Role, issuer: str, own: bool) -> tuple[Panel, ...]:
    """Return the panels that a caller with that role, whose token is from that issuer, sees on their `own` dashboard or
    on another person's."""
    return tuple(
        [
            panel
            for panel in panels
            if role in panel.roles
            and (own or not panel.own_only)
            and (panel.issuers is None or issuer in panel.issuers)
        ]
    )


def select(names: Sequence[str] | None, panels: tuple[Panel, ...]) -> tuple[Panel, ...]:
    """Return those of the visible `panels` that are named, in their own order; by default all. Raises
    `InvalidInput`."""
    if names is None:
        return panels
    known = ", ".join(panel.name for panel in panels)
    if unknown := set(names) - {panel.name for panel in panels}:
        raise InvalidInput.of("panels", f"the panels are {known}; not {min(unknown)[:40]!r}")
    return tuple(panel for panel in panels if panel.name in names)
