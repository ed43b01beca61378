"""Panel queries: how the gateway reads the panels of several users from a service.

POST /internal/panels  {"panels": ["orders", …], "ids": ["…", …]}
200  {"panels": {"orders": {"items": {"<id>": <panel JSON>}, "missing": ["<id>"]}, "…": {"error": "timeout"}}}

A panel that cannot be read has an error in place of its items. When no panel can be read, the answer is a problem: 503
when the database is away or late, 500 for a defect. A panel that the service does not have is 422.

The release before asks for one panel by `POST /internal/panels/{panel}`, `{"ids": […]}`; its answer is what is above
under the panel's name.
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
"""How many milliseconds the caller will still wait."""
MAX_DEADLINE_MS = 30_000

PanelError = Literal["timeout", "unavailable", "internal"]
"""Why a panel could not be read: its deadline passed, its database is away, or the service has a defect."""

Answer = Mapping[str, object]
"""What a service answers for one panel, to be encoded: `answered` or `failed`."""
Ids = Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=MAX_IDS)]


class PanelQuery(msgspec.Struct, frozen=True):
    """Asks for one panel, which the path names."""

    ids: Ids


class PanelsQuery(PanelQuery, frozen=True):
    panels: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_PANELS)]


class PanelAnswer(msgspec.Struct, frozen=True):
    """`items` holds each panel's JSON untouched; `missing` the ids of users whom the service does not know. Ids are
    canonical text."""

    items: dict[str, msgspec.Raw] = {}
    missing: list[str] = []
    error: str | None = None
    """A `PanelError`, or one that a newer service knows."""


class PanelsAnswer(msgspec.Struct, frozen=True):
    panels: dict[str, PanelAnswer]


Query = TypeVar("Query", bound=PanelQuery)

_query = msgspec.json.Decoder(PanelQuery)
_panels_query = msgspec.json.Decoder(PanelsQuery)
_answer = msgspec.json.Decoder(PanelsAnswer)
encode = msgspec.json.Encoder().encode


def read_query(body: bytes) -> PanelQuery:
    """A query for one panel. Raises `InvalidInput`."""
    return _read(_query, body)


def read_panels_query(body: bytes) -> PanelsQuery:
    """A query for several panels, whose names are not looked up. Raises `InvalidInput`."""
    return _read(_panels_query, body)


def _read(decoder: msgspec.json.Decoder[Query], body: bytes) -> Query:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise InvalidInput.of("panels" if "panels" in str(broken) else "ids", str(broken)) from broken


def encode_query(panels: Sequence[str], ids: Sequence[str]) -> bytes:
    return encode({"panels": panels, "ids": ids})


def answered(ids: Sequence[UUID], found: Mapping[UUID, bytes | str]) -> Answer:
    """What a service answers for one panel: `found` is its JSON by user."""
    items = {user_id: msgspec.Raw(panel) for user_id, panel in found.items()}
    return {"items": items, "missing": [user_id for user_id in ids if user_id not in found]}


def failed(error: PanelError) -> Answer:
    """What a service answers for a panel that it could not read."""
    return {"error": error}


def encode_answer(panels: Mapping[str, Answer]) -> bytes:
    """The whole answer, of those for each panel."""
    return encode({"panels": panels})


def read_answer(body: bytes) -> PanelsAnswer:
    """Raises `msgspec.DecodeError`, `UnicodeDecodeError` or `RecursionError`."""
    return _answer.decode(body)


def deadline_s(told: str) -> float:
    """The seconds the caller will still wait, by its `DEADLINE_HEADER`; the maximum where it does not say."""
    milliseconds = int(told) if told.isascii() and told.isdigit() and len(told) < 9 else MAX_DEADLINE_MS
    return max(1, min(milliseconds, MAX_DEADLINE_MS)) / 1000
