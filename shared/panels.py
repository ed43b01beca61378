"""How the gateway asks a service for one panel of many users; `shared.panel_route` answers it.

POST /internal/panels/{panel}  {"ids": [...]}  →  {"items": {id: <panel JSON>}, "missing": [ids]}
"""

from typing import Annotated
from uuid import UUID

import msgspec
from starlette.requests import Request

from shared.errors import InvalidInput

MAX_IDS = 128
DEADLINE_HEADER = "Request-Deadline-Ms"
"""How many milliseconds the caller will still wait."""
MAX_DEADLINE_MS = 30_000


class PanelQuery(msgspec.Struct, frozen=True):
    ids: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=MAX_IDS)]


class PanelAnswer(msgspec.Struct, frozen=True):
    """`items` holds each panel's JSON untouched; `missing` the ids of which the service knows no such user."""

    items: dict[UUID, msgspec.Raw]
    missing: list[UUID] = []


def read_query(body: bytes) -> PanelQuery:
    """Raises `InvalidInput`."""
    try:
        return msgspec.json.decode(body, type=PanelQuery)
    except (msgspec.DecodeError, RecursionError) as broken:
        raise InvalidInput.of("ids", str(broken)) from broken


def deadline_s(request: Request) -> float:
    """The seconds the caller will still wait; the maximum where it does not say."""
    told = request.headers.get(DEADLINE_HEADER, "")
    milliseconds = int(told) if told.isascii() and told.isdigit() and len(told) < 9 else MAX_DEADLINE_MS
    return max(1, min(milliseconds, MAX_DEADLINE_MS)) / 1000
