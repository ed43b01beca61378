"""Panel queries: how the gateway reads the panels of several users from a service.

POST /internal/panels  {"panels": ["orders", …], "ids": ["…", …]}
200  {"panels": {"orders": {"items": {"<id>": <panel JSON>}, "missing": ["<id>"]}, "…": {"error": "timeout"}}}

A panel that cannot be read has an error instead of its items. If no panel can be read, the response is a problem: 503
if the database is down or slow, 500 for a bug. An unknown panel is 422.

The previous release requests one panel by `POST /internal/panels/{panel}`, `{"ids": […]}`; its response is the object
under the panel's name above.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import msgspec

from shared.errors import InvalidInput

PATH = "/internal/panels"
MAX_IDS = 128
MAX_PANELS = 8
DEADLINE_HEADER = "Request-Deadline-Ms"
"""The remaining time of the caller in milliseconds."""
MAX_DEADLINE_MS = 30_000

PanelError = Literal["timeout", "unavailable", "internal"]
"""The reason why a panel could not be read: its deadline passed, its database is down, or the service has a bug."""

Answer = Mapping[str, object]
"""A service's result for one panel, ready to encode: `answered` or `failed`."""
Ids = Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=MAX_IDS)]


class PanelQuery(msgspec.Struct, frozen=True):
    """A query for one panel, which the path names."""

    ids: Ids


class PanelsQuery(PanelQuery, frozen=True):
    panels: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_PANELS)]


class PanelAnswer(msgspec.Struct, frozen=True):
    """`items` holds each panel's raw JSON; `missing` the ids of users that the service does not know. Ids are canonical
    text."""

    items: dict[str, msgspec.Raw] = {}
    missing: list[str] = []
    error: str | None = None
    """A `PanelError`, or an error that a newer service knows."""


class PanelsAnswer(msgspec.Struct, frozen=True):
    panels: dict[str, PanelAnswer]


Query = TypeVar("Query", bound=PanelQuery)

_query = msgspec.json.Decoder(PanelQuery)
_panels_query = msgspec.json.Decoder(PanelsQuery)
_answer = msgspec.json.Decoder(PanelsAnswer)
encode = msgspec.json.Encoder().encode


def read_query(body: bytes) -> PanelQuery:
    """Parse a query for one panel. Raises `InvalidInput`."""
    return _read(_query, body)


def read_panels_query(body: bytes) -> PanelsQuery:
    """Parse a query for several panels, without checking their names. Raises `InvalidInput`."""
    return _read(_panels_query, body)


def _read(decoder: msgspec.json.Decoder[Query], body: bytes) -> Query:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise InvalidInput.of("panels" if "panels" in str(broken) else "ids", str(broken)) from broken


def encode_query(panels: Sequence[str], ids: Sequence[str]) -> bytes:
    return encode({"panels": panels, "ids": ids})


def answered(ids: Sequence[UUID], found: Mapping[UUID, bytes | str]) -> Answer:
    """Return the result for one panel; `found` maps users to JSON."""
    items = {user_id: msgspec.Raw(panel) for user_id, panel in found.items()}
    return {"items": items, "missing": [user_id for user_id in ids if user_id not in found]}


def failed(error: PanelError) -> Answer:
    """Return the result for a panel that could not be read."""
    return {"error": error}


def encode_answer(panels: Mapping[str, Answer]) -> bytes:
    """Encode the response from the results of all panels."""
    return encode({"panels": panels})


def read_answer(body: bytes) -> PanelsAnswer:
    """Raises `msgspec.DecodeError`, `UnicodeDecodeError` or `RecursionError`."""
    return _answer.decode(body)


def deadline_s(told: str) -> float:
    """Return the remaining seconds of the caller from its `DEADLINE_HEADER`, or the maximum if it is missing."""
    milliseconds = int(told) if told.isascii() and told.isdigit() and len(told) < 9 else MAX_DEADLINE_MS
    return max(1, min(milliseconds, MAX_DEADLINE_MS)) / 1000
