"""A dashboard as it goes over the wire, and how it is put together. The panels' own JSON is spliced in as bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw, UnsetType

from services.gateway.upstream.errors import ErrorCode
from services.gateway.upstream.panel_protocol import Answer
from shared.errors import Unavailable

Status = Literal["fresh", "stale", "unavailable"]


class PanelError(msgspec.Struct, frozen=True):
    """Why a panel is not fresh."""

    code: ErrorCode
    retryable: bool


class PanelView(msgspec.Struct, frozen=True):
    """One panel: `age_ms` is the age of what is shown; `error` says why it is not fresh."""

    status: Status
    age_ms: int | UnsetType = UNSET
    data: Raw | None = None
    error: PanelError | UnsetType = UNSET


class NoPanelAvailable(Unavailable):
    """`panels` says of each why."""

    code, title = "no_panel_available", "None of the panels can be shown now; try again"

    def __init__(self, panels: Mapping[str, PanelView]) -> None:
        super().__init__()
        self.panels = panels


class Dashboard(msgspec.Struct, frozen=True):
    """What is known of a person now; `complete` when every panel is fresh."""

    user_id: UUID
    generated_at: datetime
    complete: bool
    panels: dict[str, PanelView]

    @property
    def is_empty(self) -> bool:
        return all(view.status == "unavailable" for view in self.panels.values())


@dataclass(frozen=True, slots=True)
class Remembered:
    """A panel as it was when it could last be read."""

    data: Raw
    age_ms: int


def assemble(
    user_id: UUID, now: datetime, answers: Mapping[str, Answer], remembered: Mapping[str, Remembered]
) -> Dashboard:
    """The dashboard of these answers, with what is remembered in the place of failures."""
    views, complete = {}, True
    for name, answer in answers.items():
        if answer.data is not None:
            views[name] = PanelView("fresh", answer.age_ms, Raw(answer.data))
        else:
            views[name] = _failed(answer, remembered.get(name))
            complete = False
    return Dashboard(user_id, now, complete, views)


def _failed(answer: Answer, remembered: Remembered | None) -> PanelView:
    error = PanelError(answer.error, retryable=answer.error != "internal")
    if remembered is None:
        return PanelView("unavailable", error=error)
    return PanelView("stale", remembered.age_ms, remembered.data, error)
