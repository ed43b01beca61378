"""Refuses requests that repeat a header with one value, or have an unknown query parameter."""

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from shared.errors import BadRequest, FieldError, InvalidInput
from shared.identity import IDENTITY_HEADERS

ONCE = frozenset(
    name.lower().encode()
    for name in (
        *("Authorization", "Content-Length", "Content-Type", "Host", "Idempotency-Key", "Last-Event-ID", "Origin"),
        *("Range", "Request-Deadline-Ms", "Sec-Fetch-Site"),
        *IDENTITY_HEADERS,
    )
)
"""Headers with one value that something depends on."""


def refuse_repeated(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises `BadRequest` when one of `ONCE` comes twice. Names are in lower case."""
    seen = set[bytes]()
    for name, _ in headers:
        if name in seen:
            raise BadRequest.of(name.decode().title(), "must not be repeated")
        if name in ONCE:
            seen.add(name)


def refuse_unknown(query: bytes, known: Collection[str]) -> None:
    """Raises `InvalidInput` when the query has other parameters."""
    if not query:
        return
    unknown = [name for name in QueryParams(query) if name not in known]
    if unknown:
        expected = f"the parameters are {', '.join(sorted(known))}" if known else "there are no parameters"
        fields: list[FieldError] = [{"field": name, "message": f"is not known; {expected}"} for name in unknown]
        raise InvalidInput("; ".join(f"{each['field']}: {each['message']}" for each in fields[:3]), fields)


async def known_query(request: Request) -> None:
    """A dependency of all routes: the query has no parameter that the route's description has not."""
    query: bytes = request.scope["query_string"]
    route = request.scope.get("route")
    if query and isinstance(route, APIRoute):
        refuse_unknown(query, _described(_Key(route)))


class _Key:
    """A route as a key; routes themselves have no hash."""

    def __init__(self, route: APIRoute) -> None:
        self.route = route

    def __hash__(self) -> int:
        return id(self.route)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.route is self.route


def _parameters(dependant: Dependant) -> Iterator[str]:
    """The query parameters of a route and its dependencies. A model has one for each field."""
    yield from (each.alias for each in get_flat_params(Dependant(query_params=dependant.query_params)))
    for other in dependant.dependencies:
        yield from _parameters(other)


@lru_cache(maxsize=1024)
def _described(key: _Key) -> frozenset[str]:
    found = _parameters(key.route.dependant)
    more = (key.route.openapi_extra or {}).get("parameters", ())
    return frozenset([*found, *(each["name"] for each in more if each["in"] == "query")])
