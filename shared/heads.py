"""HEAD on every route that has GET (RFC 9110, section 9.3.2). The server sends no body."""

from starlette.types import Scope

_ASKED = "asked_method"


def as_get(scope: Scope) -> Scope:
    """The scope of a HEAD request for routes that know GET alone."""
    return {**scope, "method": "GET", _ASKED: scope["method"]} if scope["method"] == "HEAD" else scope


def asked_method(scope: Scope) -> str:
    """The client's method."""
    method: str = scope.get(_ASKED, scope["method"])
    return method
