"""What the live stream says, as server-sent events.

The id of an event is what its reader has after it: a digest of each panel, the same in every gateway. A reader that
comes back with it, to whichever gateway, is told what differs.
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
MAX_ID_CHARS = 512

Ending = Literal["token_expired", "session_ended", "user_gone", "shutting_down", "failed"]

_ID_PART = re.compile(rf"([a-z_]{{1,32}}):([0-9a-f]{{{DIGEST_BYTES * 2}}})")
_encode = msgspec.json.Encoder().encode


class PanelEvent(msgspec.Struct, frozen=True):
    """A panel with its name, else as in a dashboard."""

    panel: str
    status: Status
    age_ms: int | UnsetType = UNSET
    data: Raw | None = None
    error: PanelError | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class PanelNews:
    """One reading of a panel; of two, that with the later number knows more. `frame` lacks the id."""

    panel: str
    number: int
    fresh: bool
    digest: str
    frame: bytes


def panel_news(panel: str, number: int, view: PanelView) -> PanelNews:
    shown = _encode(PanelEvent(panel, view.status, view.age_ms, view.data, view.error))
    return PanelNews(panel, number, view.status == "fresh", digest(view), frame("panel", shown))


def digest(view: PanelView) -> str:
    """The same for two views that look the same, however old they are."""
    code = view.error.code if view.error else ""
    data = bytes(view.data) if view.data is not None else b""
    return blake2b(f"{view.status} {code} ".encode() + data, digest_size=DIGEST_BYTES).hexdigest()


def frame(event: str, json: bytes) -> bytes:
    """An event without id. In JSON, a line break is never more than a space."""
    line = json.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: %b\ndata: %b\n\n" % (event.encode(), line)


def with_id(digests: Mapping[str, str], framed: bytes) -> bytes:
    return b"id: %b\n%b" % (",".join(f"{panel}:{seen}" for panel, seen in digests.items()).encode(), framed)


def read_id(told: str) -> dict[str, str]:
    """The digests in an id; of one that is not ours, nothing."""
    return dict(_ID_PART.findall(told)) if len(told) <= MAX_ID_CHARS else {}


def ready() -> bytes:
    """Every panel has been told once."""
    return frame("ready", b"{}")


def feed(live: bool) -> bytes:
    """Whether changes are heard of."""
    return frame("feed", _encode({"live": live}))


def end(reason: Ending) -> bytes:
    return frame("end", _encode({"reason": reason}))


def retry(after_ms: int) -> bytes:
    """How long to wait before connecting again."""
    return b"retry: %d\n\n" % after_ms
