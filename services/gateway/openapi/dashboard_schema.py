"""The OpenAPI description of the dashboard, which FastAPI cannot derive from a plain ASGI route."""

from typing import Any

import msgspec
from fastapi.encoders import jsonable_encoder

from services.gateway.dashboard.models import Dashboard
from services.gateway.dashboard.query import MAX_BUDGET_MS, MIN_BUDGET_MS
from services.gateway.openapi.merge import FOR_USERS, SCHEMAS
from services.gateway.panels import PANELS
from shared.errors import Problem

_NAMES = [panel.name for panel in PANELS]
_USER_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
QUERY = [
    {
        "name": "panels",
        "in": "query",
        "description": "only these panels, separated by commas",
        "style": "form",
        "explode": False,
        "schema": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": _NAMES}},
    },
    {
        "name": "budget_ms",
        "in": "query",
        "description": "the time budget in milliseconds; the response contains the panels available by then",
        "schema": {"type": "integer", "minimum": MIN_BUDGET_MS, "maximum": MAX_BUDGET_MS},
    },
]
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "the id of the last received event: unchanged panels are not sent again",
    "schema": {"type": "string"},
}
_EVENTS = """Each panel as it arrives, then every change.

- `panel`: `{panel, status, age_ms, data, error}`, as in a dashboard
- `ready`: every panel has been sent once
- `import`: the progress of an import
- `feed`: `{live}`, whether changes are received; when they are again, every panel is sent again
- `end`: `{reason}`, before the stream is closed: `token_expired`, `session_ended`, `user_gone`, `shutting_down` or
  `failed`

A comment keeps an idle stream open. 429 if the user has too many open streams."""
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["panel", "ready", "import", "feed", "end"]},
        "id": {"type": "string", "description": "for `Last-Event-ID`"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_HEADERS = {
    "Dashboard-Complete": {"description": "whether every panel is fresh", "schema": {"type": "boolean"}},
    "Server-Timing": {"description": "one entry per panel", "schema": {"type": "string"}},
}


def describe(document: dict[str, Any]) -> None:
    """Add the dashboard's operations and schemas to the gateway's own document."""
    _, schemas = msgspec.json.schema_components([Dashboard], ref_template=SCHEMAS + "{name}")
    # Without nulls, as FastAPI writes it: equal to the services' own, so that it appears once.
    problem = jsonable_encoder(Problem.model_json_schema(ref_template=SCHEMAS + "{model}"), exclude_none=True)
    schemas |= problem.pop("$defs", {}) | {"Problem": problem}
    document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    document["paths"] |= {
        "/v1/dashboard": {"get": _operation("read_own_dashboard", "Your own dashboard", [])},
        "/v1/users/{id}/dashboard": {
            "get": _operation("read_dashboard", "A user's dashboard: your own, or for operators any user's", [_USER_ID])
        },
        "/v1/dashboard/events": {"get": _events()},
    }


def _events() -> dict[str, Any]:
    operation = _operation("follow_own_dashboard", "Your own dashboard, live", [_LAST_EVENT_ID])
    operation["description"] = _EVENTS
    del operation["parameters"][-1]  # the budget: a stream has none
    operation["responses"]["200"] = {
        "description": "server-sent events",
        "content": {"text/event-stream": {"itemSchema": _EVENT}},
    }
    return operation


def _operation(operation_id: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": f"{SCHEMAS}Problem"}}}
    return {
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
            "4XX": {"description": "no valid token, no such user, or an invalid query", "content": problem},
            "5XX": {
                "description": "no panel is available; retry after `Retry-After`",
                "content": problem,
            },
        },
        "security": FOR_USERS,
    }
