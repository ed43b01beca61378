"""The description of the whole API, put together from what the services say."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import SecretStr

from shared.config.settings import ServiceSettings
from shared.http.application import create_app
from tests.support.gateway.declared import OPERATIONS
from tests.support.gateway.stub import StubService, replies
from tests.support.gateway.world import SECRET, Start, World
from tests.support.waiting import eventually

ORDERS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "orders", "version": "1"},
    "paths": {
        "/v1/orders/{order_id}": {
            "get": {
                "operationId": "read_order",
                "parameters": [{"name": "order_id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/X"}}}}},
            }
        },
        "/v1/internal-only": {"get": {"responses": {}}},
    },
    "components": {"schemas": {"X": {"type": "object", "title": "X"}}},
}


_orders = APIRouter()


@_orders.get("/v1/orders")
async def _list_orders() -> list[str]:
    return []


@asynccontextmanager
async def _nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


async def _document(world: World) -> dict[str, Any]:
    document: dict[str, Any] = (await world.client.get("/openapi.json")).json()
    return document


async def test_every_public_operation_is_described(world: World) -> None:
    """The dashboard's and the table's operations are all there, though the services here say nothing."""
    paths = (await _document(world))["paths"]
    for operation in OPERATIONS:
        assert operation.method.lower() in paths[operation.template]
    assert {"/v1/dashboard", "/v1/users/{id}/dashboard"} <= paths.keys()
    assert not any("metrics" in path or "internal" in path for path in paths)


async def test_a_service_describes_its_own(start: Start) -> None:
    """A service's operation appears as the service has it, once the service can be reached."""
    async with StubService().running() as orders:
        orders.behaviours["/openapi.json"] = replies(b"", 503)
        async with start(orders_url=orders.url) as world:
            assert "/v1/orders/{id}" in (await _document(world))["paths"]
            orders.behaviours["/openapi.json"] = replies(json.dumps(ORDERS).encode())

            async def described() -> bool:
                return "/v1/orders/{order_id}" in (await _document(world))["paths"]

            await eventually(described)
            document = await _document(world)
    assert document["paths"]["/v1/orders/{order_id}"]["get"]["operationId"] == "read_order"
    assert "X" in document["components"]["schemas"]
    assert "/v1/internal-only" not in document["paths"]


async def test_a_document_that_cannot_be_used_harms_no_other(start: Start) -> None:
    """The others are fetched, the description stays whole, and the next good document is taken."""
    async with StubService().running() as orders, StubService().running() as users:
        orders.behaviours["/openapi.json"] = replies(b'{"paths": "\xff"}')
        users.behaviours["/openapi.json"] = replies(b'{"paths": {}}')
        async with start(orders_url=orders.url, users_url=users.url) as world:
            await eventually(lambda: "users" in world.gateway.documents.by_service)
            assert "/v1/orders/{id}" in (await _document(world))["paths"]
            orders.behaviours["/openapi.json"] = replies(json.dumps(ORDERS).encode())
            await eventually(lambda: "orders" in world.gateway.documents.by_service)


async def test_all_services_share_one_problem(start: Start) -> None:
    """A service made like all others adds no second description of errors."""
    described = create_app(
        "orders", ServiceSettings(internal_token_secret=SecretStr(SECRET)), lifespan=_nothing, routes=[_orders]
    )
    async with StubService().running() as orders:
        orders.behaviours["/openapi.json"] = replies(json.dumps(described.openapi()).encode())
        async with start(orders_url=orders.url) as world:
            await eventually(lambda: "orders" in world.gateway.documents.by_service)
            schemas = (await _document(world))["components"]["schemas"]
    assert [name for name in schemas if name.endswith("Problem")] == ["Problem"]


async def test_the_dashboards_schema_is_in_it(world: World) -> None:
    """All references in the document lead somewhere."""
    document = await _document(world)
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert "Dashboard" in names
    assert names <= document["components"]["schemas"].keys()
