"""Several documents become one."""

import copy
from typing import Any

from services.gateway.openapi.merge import FOR_USERS, merge
from services.gateway.proxy.operations import Operation

OWN: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "gateway", "version": "1"},
    "paths": {},
    "components": {"schemas": {"Page": {"title": "Page", "type": "object"}}},
}
READ = Operation("GET", "/v1/orders/{id:uuid}", "orders", "user")
LOGIN = Operation("POST", "/v1/tokens", "users", "anonymous")


def service(page: dict[str, Any]) -> dict[str, Any]:
    operation = {"operationId": "read", "responses": {"200": {"schema": {"$ref": "#/components/schemas/Page"}}}}
    return {
        "paths": {"/v1/orders/{order_id}": {"get": operation}, "/internal/x": {"get": operation}},
        "components": {"schemas": {"Page": page, "Item": {"type": "string"}, "Unused": {"type": "null"}}},
    }


PAGE = {"title": "Page", "items": {"$ref": "#/components/schemas/Item"}}


def test_a_name_that_is_taken_gets_the_services_in_front() -> None:
    """References follow, and schemas that nothing refers to stay behind."""
    merged = merge(OWN, [READ], {"orders": service(PAGE)})
    operation = merged["paths"]["/v1/orders/{order_id}"]["get"]
    assert operation["responses"]["200"]["schema"] == {"$ref": "#/components/schemas/OrdersPage"}
    assert merged["components"]["schemas"] == {
        "Page": OWN["components"]["schemas"]["Page"],
        "OrdersPage": PAGE,
        "Item": {"type": "string"},
    }


def test_equal_schemas_are_shared() -> None:
    """What is the same in two documents keeps its name."""
    merged = merge(OWN, [READ], {"orders": service(OWN["components"]["schemas"]["Page"])})
    assert merged["components"]["schemas"].keys() == {"Page"}


def test_a_service_that_is_away_is_described_by_the_table() -> None:
    """Method, path and parameters are known without it."""
    operation = merge(OWN, [READ], {})["paths"]["/v1/orders/{id}"]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["id"]
    assert operation["responses"]


def test_the_table_decides_who_must_log_in() -> None:
    """Anonymous operations need no token, all others do, whatever the service says."""
    merged = merge(OWN, [READ, LOGIN], {"orders": service(PAGE)})
    assert merged["paths"]["/v1/tokens"]["post"]["security"] == []
    assert merged["paths"]["/v1/orders/{order_id}"]["get"]["security"] == FOR_USERS
    assert "user" in merged["components"]["securitySchemes"]


def test_nothing_is_changed_in_place() -> None:
    """The documents it was made from stay as they were."""
    own, theirs = copy.deepcopy(OWN), service(PAGE)
    merge(own, [READ], {"orders": theirs})
    assert (own, theirs) == (OWN, service(PAGE))


def test_internal_paths_stay_inside() -> None:
    """Only what the table names is described."""
    assert "/internal/x" not in merge(OWN, [READ], {"orders": service(PAGE)})["paths"]
