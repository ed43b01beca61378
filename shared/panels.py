"""How the gateway asks a service for one panel of many users: the wire, and the endpoint that answers it.

POST /internal/panels/{panel}  {"ids": [...]}  →  {"items": {id: <panel JSON>}, "missing": [ids]}
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.db import Database
from shared.errors import InvalidInput
from shared.identity import require_service
from shared.web import AsgiRoute

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


Load = Callable[[Database, Sequence[UUID], float], Awaitable[Mapping[UUID, bytes | str]]]
"""Reads one panel of several users in at most so many seconds; users it does not know are absent."""


class PanelEndpoint:
    """Answers panel queries in plain ASGI."""

    def __init__(self, load: Load) -> None:
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        require_service(request)
        query = read_query(await request.body())
        found = await self._load(request.app.state.db, query.ids, deadline_s(request))
        missing = [user_id for user_id in query.ids if user_id not in found]
        items = {user_id: msgspec.Raw(panel) for user_id, panel in found.items()}
        body = msgspec.json.encode(PanelAnswer(items=items, missing=missing))
        await Response(body, media_type="application/json")(scope, receive, send)


def read_query(body: bytes) -> PanelQuery:
    """Raises `InvalidInput`."""
    try:
        return msgspec.json.decode(body, type=PanelQuery)
    except (msgspec.DecodeError, RecursionError) as broken:
        raise InvalidInput.of("ids", str(broken)) from broken


def panel_route(panel: str, load: Load) -> AsgiRoute:
    """The route of a panel, to be added to a service's application. `load` reads from the service's database."""
    return AsgiRoute(f"/internal/panels/{panel}", PanelEndpoint(load), methods=["POST"])


def deadline_s(request: Request) -> float:
    """The seconds the caller will still wait; the maximum where it does not say."""
    told = request.headers.get(DEADLINE_HEADER, "")
    milliseconds = int(told) if told.isascii() and told.isdigit() and len(told) < 9 else MAX_DEADLINE_MS
    return max(1, min(milliseconds, MAX_DEADLINE_MS)) / 1000
