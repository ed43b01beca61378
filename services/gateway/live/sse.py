"""The messages of a live stream, as server-sent events.

The id of an event is the state of its client after it: a digest of each panel, the same at every gateway. A client that
reconnects with it, to any gateway, receives the differences.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from services.gateway.dashboard.models import PanelError, PanelView, Status

HEARTBEAT = b": heartbeat\n\n"
DIGEST_BYTES = 6
MAX_ID_CHARS = 2048

Ending = Literal["token_expired", "session_ended", "user_gone", "shutting_down", "reloaded", "failed"]

_ID_PART = re.compile(rf"([a-z][a-z0-9_-]{{0,31}}):([0-9a-f]{{{DIGEST_BYTES * 2}}})")
_encode = msgspec.json.Encoder().encode


class PanelEvent(msgspec.Struct, frozen=True):
    """A panel with its name, otherwise as in a dashboard."""

    panel: str
    status: Status
    age_ms: int | UnsetType = UNSET
    data: Raw | None = None
    error: PanelError | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class PanelNews:
    """One read of a panel; the one with the higher number is newer. `frame` lacks the id."""

    panel: str
    number: int
    fresh: bool
    digest: str
    frame: bytes


def panel_news(panel: str, number: int, view: PanelView) -> PanelNews:
    shown = _encode(PanelEvent(panel, view.status, view.age_ms, view.data, view.error))
    return PanelNews(panel, number, view.status == "fresh", digest(view), frame("panel", shown))


def digest(view: PanelView) -> str:
    """Return the same digest for two equal views, whatever their age."""
    code = view.error.code if view.error else ""
    data = bytes(view.data) if view.data is not None else b""
    return blake2b(f"{view.status} {code} ".encode() + data, digest_size=DIGEST_BYTES).hexdigest()


def frame(event: str, json: bytes) -> bytes:
    """Format an event without id. In JSON, a line break is always insignificant white space."""
    line = json.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: %b\ndata: %b\n\n" % (event.encode(), line)


def with_id(digests: Mapping[str, str], framed: bytes) -> bytes:
    return b"id: %b\n%b" % (",".join(f"{panel}:{seen}" for panel, seen in digests.items()).encode(), framed)


def read_id(value: str) -> dict[str, str]:
    """Parse the digests in an id; an unknown id has none."""
    return dict(_ID_PART.findall(value)) if len(value) <= MAX_ID_CHARS else {}


def ready() -> bytes:
    """Every panel has been sent once."""
    return frame("ready", b"{}")


def feed(live: bool) -> bytes:
    """Whether changes are received."""
    return frame("feed", _encode({"live": live}))


def end(reason: Ending) -> bytes:
    return frame("end", _encode({"reason": reason}))


def retry(after_ms: int) -> bytes:
    """How long to wait before reconnecting."""
    return b"retry: %d\n\n" % after_ms
