"""The endpoints with which a service answers panel queries (`shared.contracts.panels`)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.contracts import panels
from shared.contracts.panels import DEADLINE_HEADER, PATH, Answer, PanelError, PanelsQuery
from shared.db.engine import Database, is_late, is_outage
from shared.errors import DashboardError, InvalidInput, Unavailable
from shared.http.application import AsgiRoute
from shared.http.identity import require_gateway
from shared.observability import telemetry
from shared.observability.logs import get_logger

log = get_logger(__name__)

MARGIN_S, MARGIN_SHARE = 0.01, 0.05
"""The response is encoded this long before the caller's deadline, or this share of the deadline if that is less."""

Load = Callable[[Database, Sequence[UUID], float], Awaitable[Mapping[UUID, bytes | str]]]
"""Reads one panel of several users within a number of seconds; unknown users are absent."""


FAILED = "panels.failed"
"""The error, in a request's scope, if its panels could not be read."""


class Panels:
    """The panels of a service: their loaders, by name."""

    def __init__(self, loaders: Mapping[str, Load]) -> None:
        self._loaders = loaders

    def read_query(self, body: bytes) -> PanelsQuery:
        """Raises `InvalidInput`, also for a panel that the service does not have."""
        query = panels.read_panels_query(body)
        if unknown := set(query.panels) - self._loaders.keys():
            known = ", ".join(sorted(self._loaders))
            raise InvalidInput.of("panels", f"the panels are {known}; not {min(unknown)[:40]!r}")
        return query

    def routes(self) -> list[AsgiRoute]:
        """Return the routes of these panels, for the service's application. They read from its database."""
        loaders = self._loaders.items()
        one_each = [AsgiRoute(f"{PATH}/{panel}", PanelEndpoint(load), methods=["POST"]) for panel, load in loaders]
        return [AsgiRoute(PATH, PanelsEndpoint(self), methods=["POST"]), *one_each]

    async def answer(self, db: Database, query: PanelsQuery, deadline_s: float) -> bytes:
        """Read all panels concurrently and encode what has arrived shortly before the deadline, in seconds.

        Raises `Unavailable` if no panel could be read, or `DashboardError` if one of them has a bug, too.
        """
        timeout_s = deadline_s - min(MARGIN_S, deadline_s * MARGIN_SHARE)
        first, *others = dict.fromkeys(query.panels)
        async with asyncio.TaskGroup() as group:
            tasks = {panel: group.create_task(self._read(db, panel, query.ids, timeout_s)) for panel in others}
            answers = {first: await self._read(db, first, query.ids, timeout_s)}
        answers |= {panel: task.result() for panel, task in tasks.items()}
        if all("error" in answer for answer in answers.values()):
            raise _nothing_read(answers)
        return panels.encode_answer(answers)

    async def _read(self, db: Database, panel: str, ids: Sequence[UUID], timeout_s: float) -> Answer:
        """Read one panel, or return why it could not be read, which is logged."""
        try:
            return panels.answered(ids, await self._loaders[panel](db, ids, timeout_s))
        except Exception as error:
            return panels.failed(_reason(panel, error))


def _reason(panel: str, error: Exception) -> PanelError:
    if is_outage(error):
        log.warning("a dependency is unavailable", path=PATH, panel=panel, error=repr(error))
        return "timeout" if is_late(error) else "unavailable"
    telemetry.UNHANDLED.labels(PATH).inc()
    log.error("unhandled exception", path=PATH, panel=panel, exc_info=error)
    return "internal"


def _nothing_read(answers: Mapping[str, Answer]) -> DashboardError:
    if panels.failed("internal") in answers.values():
        return DashboardError("This is an internal error; it has been logged.")
    return Unavailable()


class PanelsEndpoint:
    """Answers queries for several panels in plain ASGI."""

    def __init__(self, of_service: Panels) -> None:
        self._panels = of_service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (failed := scope.get(FAILED)) is not None:
            raise failed
        request = Request(scope, receive)
        require_gateway(request)
        query = self._panels.read_query(await request.body())
        body = await self._panels.answer(request.app.state.db, query, _deadline_s(request))
        await Response(body, media_type="application/json")(scope, receive, send)


class PanelEndpoint:
    """Answers queries for one panel, as gateways of the previous release send them. To be removed in the next one."""

    def __init__(self, load: Load) -> None:
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        require_gateway(request)
        query = panels.read_query(await request.body())
        found = await self._load(request.app.state.db, query.ids, _deadline_s(request))
        body = panels.encode(panels.answered(query.ids, found))
        await Response(body, media_type="application/json")(scope, receive, send)


def _deadline_s(request: Request) -> float:
    return panels.deadline_s(request.headers.get(DEADLINE_HEADER, ""))
