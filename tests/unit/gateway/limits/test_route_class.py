"""The class of a request."""

import pytest

from services.gateway.limits.login_identity import digest
from services.gateway.limits.route_class import RouteClass, route_class_of
from services.gateway.limits.windows import Policy


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/v1/dashboard", "read"),
        ("HEAD", "/v1/orders", "read"),
        ("GET", "/v1/reports/019b/download", "stream"),
        ("GET", "/v1/dashboard/events", "stream"),
        ("POST", "/v1/tokens", "login"),
        ("POST", "/v1/tokens/refresh", "write"),
        ("POST", "/v1/users", "registration"),
        ("GET", "/v1/users", "read"),
        ("POST", "/v1/imports", "upload"),
        ("PUT", "/v1/me/avatar", "upload"),
        ("POST", "/v1/dashboards/batch", "batch"),
        ("DELETE", "/v1/me", "write"),
        ("BREW", "/v1/me", "write"),
    ],
)
def test_classes(method: str, path: str, kind: RouteClass) -> None:
    """By method and path alone."""
    assert route_class_of(method, path) == kind


def test_an_account_is_the_same_however_it_is_written() -> None:
    """As the users service takes it: letters of either case, a domain in either form; what is no address, as it is."""
    assert digest("Ann@Example.com") == digest("ann@example.COM")
    assert digest("ann@xn--mnchen-3ya.example") == digest("ann@münchen.example")
    assert digest("nobody") != digest("\ud800")


def test_a_policy_says_what_it_is() -> None:
    """In the notation of settings; none where the setting is empty."""
    policy = Policy.parse("login", "10 per 5 minutes")
    assert policy == Policy("login", 10, 300)
    assert policy.told(-1, 299.5) == ((b"ratelimit-policy", b'"login";q=10;w=300'), (b"ratelimit", b'"login";r=0;t=1'))
    assert Policy.parse("login", " ") is None
