"""The dashboard, in plain ASGI: on this route every microsecond of FastAPI's would be paid by every page."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.dashboard import Answer, Dashboard
from services.gateway.errors import UserNotFound
from services.gateway.gateway import gateway_of
from services.gateway.panels import Panel, select
from shared.errors import InvalidInput
from shared.identity import Caller
from shared.tokens import Role
from shared.web import AsgiRoute

MIN_BUDGET_MS, MAX_BUDGET_MS = 10, 10_000

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Wish:
    """What a caller asked for."""

    panels: list[Panel]
    budget_ms: int


class DashboardEndpoint:
    """`GET /v1/dashboard` and `GET /v1/users/{id}/dashboard`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = gateway_of(scope)
        caller = await gateway.authenticator.caller(Headers(scope=scope))
        user_id = whose(scope["path_params"].get("id"), caller)
        wish = parse(QueryParams(scope["query_string"]), caller.role, gateway.settings.budget_ms)
        dashboard, answers = await gateway.dashboards.read(user_id, wish.panels, wish.budget_ms / 1000)
        await _response(dashboard, answers)(scope, receive, send)


def routes() -> list[AsgiRoute]:
    endpoint = DashboardEndpoint()
    return [
        AsgiRoute("/v1/dashboard", endpoint, methods=["GET"]),
        AsgiRoute("/v1/users/{id:uuid}/dashboard", endpoint, methods=["GET"]),
    ]


def whose(asked: UUID | None, caller: Caller) -> UUID:
    """Whose dashboard it is. One that is not the caller's to see does not exist: raises `UserNotFound`."""
    if asked is None or asked == caller.user_id:
        return caller.user_id
    if not caller.is_operator:
        raise UserNotFound
    return asked


def parse(query: QueryParams, role: Role, default_budget_ms: int) -> Wish:
    """The wish in `?panels=user,orders&budget_ms=300`. Raises `InvalidInput`."""
    names = ",".join(query.getlist("panels")).split(",") if "panels" in query else None
    return Wish(select(names, role), _budget(query.get("budget_ms"), default_budget_ms))


def _budget(told: str | None, default_ms: int) -> int:
    if told is None:
        return default_ms
    if told.isascii() and told.isdigit() and len(told) < 9 and MIN_BUDGET_MS <= int(told) <= MAX_BUDGET_MS:
        return int(told)
    raise InvalidInput.of("budget_ms", f"must be a whole number from {MIN_BUDGET_MS} to {MAX_BUDGET_MS}")


def _response(dashboard: Dashboard, answers: Mapping[str, Answer]) -> Response:
    headers = {
        "Cache-Control": "private, no-store",
        "Dashboard-Complete": "true" if dashboard.complete else "false",
        "Server-Timing": ", ".join(
            f"{name};dur={answers[name].seconds * 1000:.1f};desc={view.status}"
            for name, view in dashboard.panels.items()
        ),
    }
    return Response(_encoder.encode(dashboard), headers=headers, media_type="application/json")
