"""Content negotiation (RFC 9110, section 12.5)."""

import re
from collections.abc import Iterable, Iterator

from starlette.types import Scope

RawHeaders = Iterable[tuple[bytes, bytes]]

_MEMBER = re.compile(
    rb"\s*(?P<name>[!#$%&'*+./^_`|~0-9a-z-]+)\s*"
    rb"(?:;\s*q=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?",
)
_GZIP = (b"gzip", b"x-gzip")


def accepts_gzip(headers: RawHeaders) -> bool:
    """Return whether the client accepts gzip, and prefers it at least as much as no coding. Names are in lower case."""
    weights = dict(_weights(value for name, value in headers if name == b"accept-encoding"))
    others = weights.get(b"*", 0.0)
    gzip = max((weights[name] for name in _GZIP if name in weights), default=others)
    return gzip > 0 and gzip >= weights.get(b"identity", 0.0)


def prefers_html(headers: RawHeaders) -> bool:
    """Return whether the client names HTML, as browsers do for pages, and prefers it at least as much as JSON."""
    weights = dict(_weights(value for name, value in headers if name == b"accept"))
    html = weights.get(b"text/html", 0.0)
    return html > 0 and html >= weights.get(b"application/json", 0.0)


def _weights(values: Iterable[bytes]) -> Iterator[tuple[bytes, float]]:
    """Return each coding or media type with its weight. A malformed member counts as absent."""
    for member in b",".join(values).lower().split(b","):
        if found := _MEMBER.fullmatch(member):
            yield found["name"], float(found["weight"] or 1)


_ASKED = "asked_method"


def as_get(scope: Scope) -> Scope:
    """Return the scope of a HEAD request for routes that support only GET."""
    return {**scope, "method": "GET", _ASKED: scope["method"]} if scope["method"] == "HEAD" else scope


def asked_method(scope: Scope) -> str:
    """Return the client's original method."""
    method: str = scope.get(_ASKED, scope["method"])
    return method
