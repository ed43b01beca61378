"""The classes of routes that rate limits and load shedding distinguish."""

from typing import Literal

from shared.contracts.internal_api import EXPORT

RouteClass = Literal["read", "write", "login", "registration", "upload", "batch", "stream"]

PROBES = frozenset({"/livez", "/readyz"})
"""Never limited and never shed: monitoring must see that a process is busy, not dead."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_EXACT: dict[tuple[str, str], RouteClass] = {
    ("POST", "/v1/tokens"): "login",
    ("POST", "/web/session"): "login",
    ("POST", "/v1/users"): "registration",
    ("POST", "/v1/imports"): "upload",
    ("PUT", "/v1/me/avatar"): "upload",
    ("POST", "/v1/dashboards/batch"): "batch",
    ("POST", EXPORT): "stream",
}
_STREAMS = ("/download", "/events", "/errors")
"""Long responses: reports, the errors of an import, the live dashboard."""

LATER: frozenset[RouteClass] = frozenset({"batch", "upload", "stream"})
"""Requests that can wait: shed before interactive ones."""
LASTING: frozenset[RouteClass] = frozenset({"upload", "stream"})
"""May be in flight for minutes, and cost little meanwhile."""


def route_class_of(method: str, path: str) -> RouteClass:
    """Return the class of a request, known before its route."""
    if method in _READING:
        return "stream" if path.endswith(_STREAMS) else "read"
    return _EXACT.get((method, path), "write")
