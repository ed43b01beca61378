"""The dashboard, in plain ASGI: every microsecond of FastAPI on this route would add to every page.

`describe` adds its OpenAPI description, which FastAPI cannot derive from a plain ASGI route.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any
from uuid import UUID

import msgspec
from starlette.types import Receive, Scope, Send

from services.gateway.container import client_of, gateway_of
from services.gateway.dashboard.models import (
    MAX_BUDGET_MS,
    MIN_BUDGET_MS,
    Dashboard,
    NoPanelAvailable,
    parse,
    wants_no_cache,
)
from services.gateway.dashboard.pending import WAIT, ClientDisconnected, DisconnectWatcher
from services.gateway.errors import TooManyStreams, UserNotFound
from services.gateway.openapi.merge import FOR_USERS
from services.gateway.panels import Panels, visible
from services.gateway.proxy.audit_log import entry_of
from shared.errors import DashboardError
from shared.http.application import AsgiRoute
from shared.http.examples import SCHEMAS
from shared.http.identity import Caller
from shared.http.openapi import add_errors
from shared.http.tokens import USER_ISSUER
from shared.observability.logs import get_logger

log = get_logger(__name__)

OF_ANOTHER = "/v1/users/{id}/dashboard"

_encoder = msgspec.json.Encoder()
_ALWAYS = ((b"content-type", b"application/json"), (b"cache-control", b"private, no-store"))


class DashboardEndpoint:
    """`GET /v1/dashboard` and `GET /v1/users/{id}/dashboard`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = gateway_of(scope)
        headers = dict(scope["headers"])
        verified = await gateway.authenticator.admit(scope)
        caller = verified.caller
        user_id = whose(scope["path_params"].get("id"), caller)
        is_own = user_id == caller.user_id
        panels = visible(gateway.catalog.panels, caller.role, verified.issued_by if is_own else USER_ISSUER, is_own)
        query = parse(scope["query_string"], panels, gateway.settings.budget_ms)
        if not is_own:
            await gateway.audit_log.note(caller, client_of(scope), entry_of("GET", OF_ANOTHER, {}, subject=user_id))
        try:
            dashboard, seconds = await gateway.dashboards.read(
                user_id,
                query.panels,
                query.budget_ms / 1000,
                no_cache=wants_no_cache(headers.get(b"cache-control")),
                subject=verified.as_subject(headers, gateway.catalog.forwarded) if is_own else None,
                watcher=DisconnectWatcher(receive),
                answered=scope.get(WAIT),
            )
        except ClientDisconnected:
            log.info("client disconnected")
            return
        await _respond(send, dashboard, seconds)


def routes() -> list[AsgiRoute]:
    endpoint = DashboardEndpoint()
    return [
        AsgiRoute("/v1/dashboard", endpoint, methods=["GET"]),
        AsgiRoute("/v1/users/{id:uuid}/dashboard", endpoint, methods=["GET"]),
    ]


def whose(asked: UUID | None, caller: Caller) -> UUID:
    """Return the user of the dashboard. One that the caller may not read does not exist: raises `UserNotFound`."""
    if asked is None or asked == caller.user_id:
        return caller.user_id
    if not caller.is_operator:
        raise UserNotFound
    return asked


async def _respond(send: Send, dashboard: Dashboard, seconds: Mapping[str, float]) -> None:
    body = _encoder.encode(dashboard)
    headers = [
        *_ALWAYS,
        (b"dashboard-complete", b"true" if dashboard.complete else b"false"),
        (b"server-timing", _timing(dashboard, seconds)),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _timing(dashboard: Dashboard, seconds: Mapping[str, float]) -> bytes:
    entries = [
        f"{name};dur={seconds[name] * 1000:.1f};desc={view.status if seconds[name] else 'cache'}"
        for name, view in dashboard.panels.items()
    ]
    return ", ".join(entries).encode()


_USER_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
PANELS_PARAMETER: dict[str, Any] = {
    "name": "panels",
    "in": "query",
    "description": "only these panels, separated by commas",
    "style": "form",
    "explode": False,
    "schema": {"type": "array", "minItems": 1, "items": {"type": "string"}},
}
QUERY = [
    PANELS_PARAMETER,
    {
        "name": "budget_ms",
        "in": "query",
        "description": "the time budget in milliseconds; the response contains the panels available by then",
        "schema": {"type": "integer", "minimum": MIN_BUDGET_MS, "maximum": MAX_BUDGET_MS, "examples": [300]},
    },
]
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "the id of the last received event: unchanged panels are not sent again",
    "schema": {"type": "string", "examples": ["orders:5f2a1c09d3e4"]},
}
_EVENTS = """Each panel as it arrives, then every change.

- `panel`: `{panel, status, age_ms, data, error}`, as in a dashboard
- `ready`: every panel has been sent once
- `import`: the progress of an import
- `feed`: `{live}`, whether changes are received; when they are again, every panel is sent again
- `end`: `{reason}`, before the stream is closed: `token_expired`, `session_ended`, `user_gone`, `shutting_down`,
  `reloaded` (the panels have changed) or `failed`

A comment keeps an idle stream open. 429 if the user has too many open streams."""
_SHOWN = '{"panel": "orders", "status": "fresh", "age_ms": 0, "data": {"items": []}}'
_EVENT = f"id: orders:5f2a1c09d3e4\nevent: panel\ndata: {_SHOWN}\n\n"
_ORDERS = {
    "items": [{"id": "01935d2e-7f6a-7c2b-9d51-3f0a4b6c8e10", "status": "paid", "currency": "EUR", "total": 2500}]
}
_LATE = {"code": "timeout", "retryable": True}
_STALE = {"status": "stale", "age_ms": 4200, "data": _ORDERS, "error": _LATE}
EXAMPLES: dict[str, Any] = {
    "PanelError": _LATE,
    "PanelView": _STALE,
    "Dashboard": {
        "user_id": "01935d2e-7f6a-7c2b-9d51-3f0a4b6c8e11",
        "generated_at": "2026-01-31T12:00:00Z",
        "complete": False,
        "panels": {"user": {"status": "fresh", "age_ms": 0, "data": {"name": "Ada Lovelace"}}, "orders": _STALE},
    },
}
_HEADERS = {
    "Dashboard-Complete": {"description": "whether every panel is fresh", "schema": {"type": "boolean"}},
    "Server-Timing": {"description": "one entry per panel", "schema": {"type": "string"}},
}


def describe(document: dict[str, Any], panels: Panels) -> None:
    """Add the dashboard's operations and schemas to the gateway's own document."""
    _, schemas = msgspec.json.schema_components([Dashboard], ref_template=SCHEMAS + "{name}")
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    document["paths"] |= {
        "/v1/dashboard": {
            "get": _operation("read_own_dashboard", "Read your dashboard", [], UserNotFound, NoPanelAvailable)
        },
        "/v1/users/{id}/dashboard": {
            "get": _operation(
                "read_dashboard",
                "Read a user's dashboard: your own, or for operators any user's",
                [_USER_ID],
                UserNotFound,
                NoPanelAvailable,
            )
        },
        "/v1/dashboard/events": {"get": _events()},
    }
    named = deepcopy(PANELS_PARAMETER)
    named["schema"]["items"]["enum"] = [panel.name for panel in panels]
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        parameters = operation.get("parameters", [])
        operation["parameters"] = [named if each["name"] == named["name"] else each for each in parameters]


def _events() -> dict[str, Any]:
    operation = _operation("follow_own_dashboard", "Follow your dashboard live", [_LAST_EVENT_ID], TooManyStreams)
    operation["description"] = _EVENTS
    del operation["parameters"][-1]  # the budget: a stream has none
    operation["responses"]["200"] = {
        "description": "server-sent events",
        "content": {"text/event-stream": {"example": _EVENT}},
    }
    return operation


def _operation(
    operation_id: str, summary: str, parameters: list[dict[str, Any]], *errors: type[DashboardError]
) -> dict[str, Any]:
    described = {
        "operationId": operation_id,
        "tags": ["dashboard"],
        "summary": summary,
        "description": "200 if at least one panel has data; each says whether it is fresh, stale or unavailable.",
        "parameters": parameters + QUERY,
        "responses": {
            "200": {
                "description": "the dashboard",
                "headers": _HEADERS,
                "content": {"application/json": {"schema": {"$ref": f"{SCHEMAS}Dashboard"}}},
            },
        },
        "security": FOR_USERS,
    }
    add_errors(described, errors)
    return described
