"""No request can set protected fields: every body that the API accepts rejects unknown fields."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

SECRET = SecretStr("s" * 32)
JSON_OR_FORM = ("application/json", "application/x-www-form-urlencoded")
URLS = {"database_url": "postgresql://x:x@127.0.0.1:1/x", "rabbitmq_url": "amqp://127.0.0.1:1/"}
SELECTING = "POST /v1/admin/jobs/"
MUST_NOT_BE_SHOWN = ("hash", "password", "token", "secret")
SHOWN_ONCE = {
    "TokenPair.access_token",
    "TokenPair.refresh_token",
    "TokenPair.token_type",
    "WebhookWithSecret.secret",
}
"""Secrets that are returned once, to their owner, when they are created."""
ONLY_WHETHER = {"Profile.has_password", "Account.has_password", "AccountDetail.has_password"}
"""Whether there is one, not which."""


def application(service: str) -> FastAPI:
    settings = importlib.import_module(f"services.{service}.settings").Settings
    needed = {} if service == "gateway" else URLS
    app: FastAPI = importlib.import_module(f"services.{service}.main").create_app(
        settings(environment="development", internal_token_secret=SECRET, **needed)
    )
    return app


def description(service: str) -> dict[str, Any]:
    if service == "gateway":
        from fastapi.openapi.utils import get_openapi

        return get_openapi(title="x", version="x", routes=application(service).routes)
    return application(service).openapi()


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            for kind in JSON_OR_FORM:
                if kind in content:
                    yield f"{method.upper()} {path}", resolved(document, content[kind]["schema"])


@pytest.mark.parametrize("service", ["gateway", "users", "orders", "worker"])
def test_every_body_refuses_unknown_fields(service: str) -> None:
    """By its schema, each body rejects unknown fields with 422. None has `role`, `id`, `user_id` or `total`, except
    that operators select jobs by their user."""
    document = description(service)
    found = dict(bodies(document))
    internal = {name for name in found if "/internal/" in name}
    assert [name for name, schema in found.items() if schema.get("additionalProperties") is not False] == []
    for name in found.keys() - internal:
        protected = {"role", "id", "user_id", "total"} - ({"user_id"} if name.startswith(SELECTING) else set())
        assert not protected & found[name].get("properties", {}).keys(), name


@pytest.mark.parametrize("service", ["users", "orders", "worker"])
def test_no_answer_has_a_field_for_a_secret(service: str) -> None:
    """No response has a hash or a password, and only the response that creates a token or secret contains it."""
    schemas = description(service)["components"]["schemas"]
    fields = {f"{name}.{field}" for name, schema in schemas.items() for field in schema.get("properties", {})}
    taken = {f"{name}.{field}" for name, schema in _taken(service).items() for field in schema}
    found = {
        field for field in fields - taken if any(word in field.partition(".")[2].lower() for word in MUST_NOT_BE_SHOWN)
    }
    assert found - SHOWN_ONCE - ONLY_WHETHER == set()


def _taken(service: str) -> dict[str, Any]:
    document = description(service)
    return {
        resolved_name: document["components"]["schemas"][resolved_name].get("properties", {})
        for item in document["paths"].values()
        for operation in item.values()
        for media in operation.get("requestBody", {}).get("content", {}).values()
        if (resolved_name := media.get("schema", {}).get("$ref", "").rpartition("/")[2])
    }
