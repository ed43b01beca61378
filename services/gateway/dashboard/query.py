"""What a caller of a dashboard asks for."""

import re
from dataclasses import dataclass
from functools import lru_cache

from starlette.datastructures import QueryParams

from services.gateway.panels import Panel, select
from shared.errors import InvalidInput
from shared.http.strict_parameters import Query
from shared.http.tokens import Role

PARAMETERS = Query(frozenset({"panels", "budget_ms"}), lists=frozenset({"panels"}))
MIN_BUDGET_MS, MAX_BUDGET_MS = 10, 10_000


@dataclass(frozen=True)
class DashboardQuery:
    """What a caller asked for."""

    panels: tuple[Panel, ...]
    budget_ms: int


@lru_cache(maxsize=256)
def parse(query: bytes, role: Role, default_budget_ms: int) -> DashboardQuery:
    """The query in `?panels=user,orders&budget_ms=300`. Raises `InvalidInput`."""
    PARAMETERS.check(query)
    told = QueryParams(query)
    names = ",".join(told.getlist("panels")).split(",") if "panels" in told else None
    return DashboardQuery(select(names, role), _budget(told.get("budget_ms"), default_budget_ms))


_ANEW = re.compile(rb"(?:^|[\s,])(?:no-cache|max-age\s*=\s*\"?0+\"?)(?:$|[\s,])", re.IGNORECASE)


@lru_cache(maxsize=256)
def wants_no_cache(cache_control: bytes | None) -> bool:
    """Whether `Cache-Control` says `no-cache` or `max-age=0`."""
    return cache_control is not None and _ANEW.search(cache_control) is not None


def _budget(told: str | None, default_ms: int) -> int:
    if told is None:
        return default_ms
    if told.isascii() and told.isdigit() and len(told) < 9 and MIN_BUDGET_MS <= int(told) <= MAX_BUDGET_MS:
        return int(told)
    raise InvalidInput.of("budget_ms", f"must be a whole number from {MIN_BUDGET_MS} to {MAX_BUDGET_MS}")
