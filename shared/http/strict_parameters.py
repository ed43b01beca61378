"""Refuses requests that repeat a single-value header or query parameter, or have an unknown query parameter."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from shared.errors import BadRequest, FieldError, InvalidInput, unknown_parameter
from shared.http.identity import IDENTITY_HEADERS

ONCE = frozenset(
    name.lower().encode()
    for name in (
        *("Authorization", "Content-Length", "Content-Type", "Host", "Idempotency-Key", "Last-Event-ID", "Origin"),
        *("Range", "Request-Deadline-Ms", "Sec-Fetch-Site"),
        *IDENTITY_HEADERS,
    )
)
"""Single-value headers on which something depends."""
IGNORES_UNKNOWN = "x-ignores-unknown-parameters"
"""In the `openapi_extra` of a route to which other systems send browsers: it may get more parameters than it knows."""
_LISTS = (list, set, frozenset, tuple, Sequence)


def refuse_repeated(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises `BadRequest` if one of `ONCE` is repeated. Names are in lower case."""
    seen = set[bytes]()
    for name, _ in headers:
        if name in seen:
            raise BadRequest.of(name.decode().title(), "must not be repeated")
        if name in ONCE:
            seen.add(name)


@dataclass(frozen=True)
class Query:
    """The query parameters of a route. Those in `lists` may be repeated."""

    known: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()

    def check(self, query: bytes) -> None:
        """Raises `InvalidInput` if `query` has other parameters, or repeats one."""
        if not query:
            return
        counts = Counter(name for name, _ in QueryParams(query).multi_items())
        fields = [
            FieldError(field=name, message=unknown_parameter(self.known)) for name in counts if name not in self.known
        ]
        fields += [
            FieldError(field=name, message="must not be repeated")
            for name, count in counts.items()
            if count > 1 and name in self.known - self.lists
        ]
        if fields:
            raise InvalidInput("; ".join(f"{each['field']}: {each['message']}" for each in fields[:3]), fields)


NO_QUERY = Query()


async def known_query(request: Request) -> None:
    """A dependency of all routes: the query may only have the documented parameters of the route, each once."""
    query: bytes = request.scope["query_string"]
    route = request.scope.get("route")
    if query and isinstance(route, APIRoute) and not (route.openapi_extra or {}).get(IGNORES_UNKNOWN):
        _described(_Key(route)).check(query)


class _Key:
    """A route as a key; routes themselves are not hashable."""

    def __init__(self, route: APIRoute) -> None:
        self.route = route

    def __hash__(self) -> int:
        return id(self.route)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.route is self.route


def _parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Return the query parameters of a route and its dependencies, and whether each is a list. A model has one per
    field."""
    for each in get_flat_params(Dependant(query_params=dependant.query_params)):
        yield each.alias, _is_list(each.field_info.annotation)
    for other in dependant.dependencies:
        yield from _parameters(other)


def _is_list(annotation: object) -> bool:
    """Return whether this is a list, or an optional one: `list[int] | None`."""
    return any((get_origin(each) or each) in _LISTS for each in (annotation, *get_args(annotation)))


@lru_cache(maxsize=1024)
def _described(key: _Key) -> Query:
    extra = (key.route.openapi_extra or {}).get("parameters", ())
    more = ((each["name"], each.get("schema", {}).get("type") == "array") for each in extra if each["in"] == "query")
    found = [*_parameters(key.route.dependant), *more]
    return Query(frozenset(name for name, _ in found), frozenset(name for name, is_list in found if is_list))
