"""The classes of routes that limits and shedding tell apart."""

from typing import Literal

from shared.contracts.internal_api import EXPORT

RouteClass = Literal["read", "write", "login", "registration", "upload", "batch", "stream"]

PROBES = frozenset({"/livez", "/readyz"})
"""Never limited and never shed: whoever watches a process must see that it is busy, not dead."""

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
"""Answers that may last: reports, the errors of an import, the live dashboard."""

LATER: frozenset[RouteClass] = frozenset({"batch", "upload", "stream"})
"""What can wait: shed before anything a person looks at."""
LASTING: frozenset[RouteClass] = frozenset({"upload", "stream"})
"""May be under way for minutes, and cost little meanwhile."""


def route_class_of(method: str, path: str) -> RouteClass:
    """The class of a request, known before its route is."""
    if method in _READING:
        return "stream" if path.endswith(_STREAMS) else "read"
    return _EXACT.get((method, path), "write")
