"""What the gateway answers itself, by the access rules of an operation."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.openapi.errors import of_operation, of_route
from services.gateway.openapi.merge import merge
from services.gateway.proxy.operations import Operation
from shared.errors import Conflict, DashboardError, Forbidden, Unauthenticated
from shared.http.openapi import add_errors, codes_of

ALL = {"bad_request", "invalid_input", "rate_limited", "internal", "overloaded"}
OF_CALLERS = {"unauthenticated", "invalid_access_token", "keys_unavailable"}
OF_BODIES = {"content_too_large", "body_too_slow"}
READ = Operation("GET", "/v1/orders", "orders", "user")


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([*of_route("GET", "/docs", "anonymous")], set()),
        (
            [*of_route("GET", "/x", "user")],
            OF_CALLERS | {"insufficient_scope", "account_required"},
        ),
        ([*of_route("GET", "/x", "user", needs_account=False)], OF_CALLERS | {"insufficient_scope"}),
        ([*of_route("GET", "/x", "admin")], OF_CALLERS | {"insufficient_scope", "forbidden"}),
        (
            [*of_route("POST", "/x/{id}", "user", session_only=True)],
            OF_CALLERS | OF_BODIES | {"session_required", "account_required", "not_found"},
        ),
    ],
)
def test_a_route_has_the_errors_of_its_access(errors: Iterable[type[DashboardError]], expected: set[str]) -> None:
    """Credentials where they are needed, bodies where there is one, and 404 where a parameter may not fit."""
    assert {error.code for error in errors} == ALL | expected


def test_an_operation_also_has_those_of_a_service_that_is_away() -> None:
    """The outcome of a read is never unknown: it is repeated. An operator's change needs the audit log. A service that
    knows all issuers' users needs no account."""
    codes = {error.code for error in of_operation(READ)}
    assert "service_unavailable" in codes
    assert not codes & {"outcome_unknown", "audit_unavailable"}
    change = replace(READ, method="POST", access="admin", audited=True)
    assert {"outcome_unknown", "audit_unavailable"} < {error.code for error in of_operation(change)}
    of_any_issuer = replace(READ, issuers=frozenset[str]())
    assert codes - {error.code for error in of_operation(of_any_issuer)} == {"account_required"}
    open_to_all = replace(READ, access="anonymous", names_caller=True)
    assert {error.code for error in of_operation(open_to_all)} == ALL | {"service_unavailable", "keys_unavailable"}


def test_what_a_service_says_of_the_gateways_credentials_is_left_out() -> None:
    """A client never sees it. The service's other errors stay, before the gateway's own."""
    described: dict[str, Any] = {"responses": {"200": {"description": "it"}}}
    add_errors(described, [Unauthenticated, Forbidden, Conflict])
    document = {"paths": {"/v1/orders": {"get": described}}}
    operation = replace(READ, access="anonymous")
    merged = merge({"info": {}, "paths": {}}, [operation], {"orders": document})["paths"]["/v1/orders"]["get"]
    assert codes_of(merged["responses"]["409"]) == ["conflict"]
    assert not {"401", "403"} & merged["responses"].keys()
    assert codes_of(merged["responses"]["503"]) == ["overloaded", "service_unavailable"]
