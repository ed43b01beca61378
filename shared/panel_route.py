"""The endpoint of a service by which it answers one panel for many users."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.db import Database
from shared.identity import require_gateway
from shared.panels import PanelAnswer, deadline_s, read_query
from shared.web import AsgiRoute

Load = Callable[[Database, Sequence[UUID], float], Awaitable[Mapping[UUID, bytes | str]]]
"""Reads one panel of several users in at most so many seconds; users it does not know are absent."""


class PanelEndpoint:
    """Answers panel queries in plain ASGI."""

    def __init__(self, load: Load) -> None:
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        require_gateway(request)
        query = read_query(await request.body())
        found = await self._load(request.app.state.db, query.ids, deadline_s(request))
        missing = [user_id for user_id in query.ids if user_id not in found]
        items = {user_id: msgspec.Raw(panel) for user_id, panel in found.items()}
        body = msgspec.json.encode(PanelAnswer(items=items, missing=missing))
        await Response(body, media_type="application/json")(scope, receive, send)


def panel_route(panel: str, load: Load) -> AsgiRoute:
    """The route of a panel, to be added to a service's application. `load` reads from the service's database."""
    return AsgiRoute(f"/internal/panels/{panel}", PanelEndpoint(load), methods=["POST"])
