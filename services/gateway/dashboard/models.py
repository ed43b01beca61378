"""The query of a dashboard request; the wire format of a dashboard, and its assembly.

The panels' own JSON is spliced in as bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import UNSET, Raw, UnsetType
from starlette.datastructures import QueryParams

from services.gateway.panels import Panel, select
from services.gateway.upstream.errors import FINAL, ErrorCode
from services.gateway.upstream.panel_protocol import Answer
from shared.errors import InvalidInput, Unavailable
from shared.http.strict_parameters import Query

PARAMETERS = Query(frozenset({"panels", "budget_ms"}), lists=frozenset({"panels"}))
MIN_BUDGET_MS, MAX_BUDGET_MS = 10, 10_000


@dataclass(frozen=True)
class DashboardQuery:
    """The requested panels and time budget."""

    panels: tuple[Panel, ...]
    budget_ms: int


@lru_cache(maxsize=256)
def parse(query: bytes, panels: tuple[Panel, ...], default_budget_ms: int) -> DashboardQuery:
    """Parse the query in `?panels=user,orders&budget_ms=300`; `panels` are those that the caller sees. Raises
    `InvalidInput`."""
    PARAMETERS.check(query)
    parameters = QueryParams(query)
    names = ",".join(parameters.getlist("panels")).split(",") if "panels" in parameters else None
    return DashboardQuery(select(names, panels), _budget(parameters.get("budget_ms"), default_budget_ms))


_NO_CACHE = re.compile(rb"(?:^|[\s,])(?:no-cache|max-age\s*=\s*\"?0+\"?)(?:$|[\s,])", re.IGNORECASE)


@lru_cache(maxsize=256)
def wants_no_cache(cache_control: bytes | None) -> bool:
    """Return whether `Cache-Control` contains `no-cache` or `max-age=0`."""
    return cache_control is not None and _NO_CACHE.search(cache_control) is not None


def _budget(value: str | None, default_ms: int) -> int:
    if value is None:
        return default_ms
    if value.isascii() and value.isdigit() and len(value) < 9 and MIN_BUDGET_MS <= int(value) <= MAX_BUDGET_MS:
        return int(value)
    raise InvalidInput.of("budget_ms", f"must be a whole number from {MIN_BUDGET_MS} to {MAX_BUDGET_MS}")


Status = Literal["fresh", "stale", "unavailable"]


class PanelError(msgspec.Struct, frozen=True):
    """Why a panel is not fresh."""

    code: ErrorCode
    retryable: bool


class PanelView(msgspec.Struct, frozen=True):
    """One panel: `age_ms` is the age of the data; `error` says why it is not fresh."""

    status: Status
    age_ms: int | UnsetType = UNSET
    data: Raw | None = None
    error: PanelError | UnsetType = UNSET


class NoPanelAvailable(Unavailable):
    """`panels` contains the reason for each."""

    code, title = "no_panel_available", "No panel is available; try again"

    def __init__(self, panels: Mapping[str, PanelView]) -> None:
        super().__init__()
        self.panels = panels

    @classmethod
    def example(cls) -> Self:
        return cls({})


class Dashboard(msgspec.Struct, frozen=True):
    """The panels of a user that are available now; `complete` if every panel is fresh."""

    user_id: Annotated[str, msgspec.Meta(description="A UUID, or the id in a token of another issuer.")]
    generated_at: datetime
    complete: bool
    panels: dict[str, PanelView]

    @property
    def is_empty(self) -> bool:
        return all(view.status == "unavailable" for view in self.panels.values())


Problem = dict[str, Any]


class DashboardBatch(msgspec.Struct, frozen=True):
    """The dashboards of many users. Each user is in one of the two."""

    items: dict[str, Dashboard]
    errors: dict[str, Problem]


@dataclass(frozen=True, slots=True)
class Remembered:
    """A panel's last known good value."""

    data: Raw
    age_ms: int


def assemble(
    user_id: str, now: datetime, answers: Mapping[str, Answer], remembered: Mapping[str, Remembered]
) -> Dashboard:
    """Assemble the dashboard from these results, with last known good values instead of failures."""
    views, complete = {}, True
    for name, answer in answers.items():
        if answer.data is not None:
            views[name] = PanelView("fresh", answer.age_ms, Raw(answer.data))
        else:
            views[name] = _failed(answer, remembered.get(name))
            complete = False
    return Dashboard(user_id, now, complete, views)


def _failed(answer: Answer, remembered: Remembered | None) -> PanelView:
    error = PanelError(answer.error, retryable=answer.error not in FINAL)
    if remembered is None:
        return PanelView("unavailable", error=error)
    return PanelView("stale", remembered.age_ms, remembered.data, error)
