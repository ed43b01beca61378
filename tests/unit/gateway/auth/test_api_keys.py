"""Which requests the scopes of an API key allow."""

import pytest

from services.gateway.auth.api_keys import check_scope, needed_scope
from services.gateway.errors import InsufficientScope, SessionRequired
from shared.http.api_keys import KeyScope


@pytest.mark.parametrize(
    ("method", "of_operators", "scope"),
    [
        ("GET", False, "read"),
        ("HEAD", False, "read"),
        ("POST", False, "write"),
        ("PUT", False, "write"),
        ("PATCH", False, "write"),
        ("DELETE", False, "write"),
        ("GET", True, "admin"),
        ("POST", True, "admin"),
    ],
)
def test_each_request_needs_one_scope(method: str, *, of_operators: bool, scope: KeyScope) -> None:
    """That scope alone is enough, all others together are not, and the refusal names it."""
    others: set[KeyScope] = {"read", "write", "admin"}
    assert needed_scope(method, of_operators=of_operators) == scope
    check_scope({scope}, method, of_operators=of_operators, session_only=False)
    with pytest.raises(InsufficientScope, match=f"the scope {scope}"):
        check_scope(others - {scope}, method, of_operators=of_operators, session_only=False)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_scope_allows_what_is_for_people(method: str) -> None:
    """A key with every scope is refused as well."""
    with pytest.raises(SessionRequired):
        check_scope({"read", "write", "admin"}, method, of_operators=False, session_only=True)
