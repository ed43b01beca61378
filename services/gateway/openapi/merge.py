"""The OpenAPI document of the whole public API: the gateway's own routes, and the services' documents for the
others."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from services.gateway.openapi.errors import OF_SERVICES, of_operation
from services.gateway.panels import Service
from services.gateway.proxy.operations import Operation
from shared.http.examples import SCHEMAS, with_example
from shared.http.openapi import add_errors, drop_errors, share_examples, with_refs

Document = dict[str, Any]

SECURITY = {
    "user": {
        "type": "oauth2",
        "flows": {"password": {"tokenUrl": "/v1/tokens", "refreshUrl": "/v1/tokens/refresh", "scopes": {}}},
    },
    "access_token": {"type": "http", "scheme": "bearer", "description": "an access token from `POST /v1/tokens`"},
    "api_key": {"type": "http", "scheme": "bearer", "description": "a key from `POST /v1/me/api-keys`"},
}
DESCRIPTION = """Times are RFC 3339 in UTC, money is an integer in minor units of its currency, and ids are UUIDs.
A list is `{"items": […], "next_cursor": …}`; pass the cursor as `?cursor=` for the next page, until it is null.

Every error is a `Problem` (`application/problem+json`). Its `code` says what went wrong; the codes of each operation
are listed with its responses. After 429 and 503, wait for as long as `Retry-After` says."""
TAGS = {
    "tokens": "sign in and out",
    "accounts": "your account: profile, password, sessions, API keys",
    "dashboard": "every panel in one call, or live",
    "orders": "place and read orders",
    "notifications": "what has happened, and which mails you receive",
    "imports": "files of orders",
    "reports": "your data as CSV",
    "webhooks": "calls to your own URL",
    "users": "accounts, for operators",
    "operators": "the system, its jobs and its audit log",
}
"""What the operations are grouped by, in the order in which they are shown."""
SCHEMA_OF = {"uuid": {"type": "string", "format": "uuid"}, "name": {"type": "string"}, "key": {"type": "string"}}
Security = list[dict[str, list[str]]]
FOR_SESSIONS: Security = [{"user": []}, {"access_token": []}]
FOR_USERS: Security = [*FOR_SESSIONS, {"api_key": []}]


def merge(own: Document, operations: Iterable[Operation], documents: Mapping[Service, Document]) -> Document:
    """Return the gateway's own document with the passed-through operations."""
    merged = copy.deepcopy(own)
    merged["info"] |= {"title": "Dashboard", "description": DESCRIPTION}
    schemas = merged.setdefault("components", {}).setdefault("schemas", {})
    merged["components"]["securitySchemes"] = SECURITY
    for operation in operations:
        path, described = _find(documents.get(operation.service, {}), operation)
        renamed = _bring_schemas(schemas, documents.get(operation.service, {}), described, operation.service)
        described = with_refs(described, renamed)
        drop_errors(described, OF_SERVICES)
        add_errors(described, of_operation(operation))
        described["security"] = _security(operation)
        merged["paths"].setdefault(path, {})[operation.method.lower()] = described
    share_examples(merged)
    used = {tag for item in merged["paths"].values() for each in item.values() for tag in each.get("tags", ())}
    merged["tags"] = [{"name": tag, "description": text} for tag, text in TAGS.items() if tag in used]
    return merged


def _security(operation: Operation) -> Security:
    if operation.access == "anonymous":
        return []
    return FOR_USERS if operation.allows_api_keys else FOR_SESSIONS


def _find(document: Document, operation: Operation) -> tuple[str, Document]:
    """Return the operation from its service's document, regardless of its parameter names; otherwise from the route
    table."""
    for path, item in document.get("paths", {}).items():
        if _shape(path) == _shape(operation.path) and operation.method.lower() in item:
            return path, item[operation.method.lower()]
    return operation.template, _minimal(operation)


def _shape(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


def _minimal(operation: Operation) -> Document:
    parameters = [
        with_example({"name": name, "in": "path", "required": True, "schema": SCHEMA_OF[convertor]}, {})
        for name, convertor in re.findall(r"{(\w+):(\w+)}", operation.path)
    ]
    return {
        "tags": [operation.service],
        "summary": f"{operation.method} {operation.template}",
        "description": "The service has not been reached to describe this in full.",
        "parameters": parameters,
        "responses": {"default": {"description": "see the service"}},
    }


def _bring_schemas(schemas: Document, document: Document, described: Document, service: Service) -> dict[str, str]:
    """Copy the schemas that an operation needs; a name that another schema uses is prefixed with the service's name."""
    theirs = document.get("components", {}).get("schemas", {})
    needed = _reachable(described, theirs)
    renamed = {name: _free_name(schemas, name, theirs[name], service) for name in needed}
    for name in needed:
        schemas[renamed[name]] = with_refs(theirs[name], renamed)
    return renamed


def _free_name(schemas: Document, name: str, schema: Document, service: Service) -> str:
    taken_by_another = name in schemas and schemas[name] != schema
    return f"{service.capitalize()}{name}" if taken_by_another else name


def _reachable(node: Any, schemas: Document) -> list[str]:
    found: list[str] = []
    waiting = list(_refs(node))
    while waiting:
        name = waiting.pop()
        if name in schemas and name not in found:
            found.append(name)
            waiting += _refs(schemas[name])
    return found


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(ref := node.get("$ref"), str):
            yield ref.removeprefix(SCHEMAS)
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _refs(part)
