"""The contract for reports between the gateway and the services that own the data.

GET /internal/reports/{kind}?from=2026-01-01&to=2026-01-31&form=data  →  the caller's own rows of these UTC days as CSV
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from fastapi import Query
from pydantic import Field

from shared.errors import DashboardError, Unavailable

Kind = Literal["orders", "analytics"]
Form = Literal["spreadsheet", "data"]
"""`spreadsheet`: with a byte order mark and amounts as decimals (`12.50`). `data`: without, in minor units."""


class Period(msgspec.Struct, frozen=True):
    """UTC days, both included."""

    first: date = msgspec.field(name="from")
    last: date = msgspec.field(name="to")

    @property
    def moments(self) -> tuple[datetime, datetime]:
        """The start, and the exclusive end."""
        return _midnight(self.first), _midnight(self.last + timedelta(days=1))

    def filename(self, kind: Kind) -> str:
        return f"{kind}-{self.first}-{self.last}.csv"


class Report(Period, frozen=True):
    """The properties of a report that the gateway needs."""

    kind: Kind

    def target(self, form: Form) -> str:
        """Return path and query at the service that owns the data."""
        return f"/internal/reports/{self.kind}?from={self.first}&to={self.last}&form={form}"


class TooManyDownloads(DashboardError):
    status, code, title = 429, "too_many_downloads", "Other reports of this user are still being downloaded"
    headers: ClassVar = {"Retry-After": "5"}


class DownloadsBusy(Unavailable):
    code, title = "downloads_busy", "Too many reports are being downloaded; try again"
    headers: ClassVar = {"Retry-After": "5"}


CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "streamed; a truncated download has no last chunk, and its connection is reset",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}

Day = Annotated[date, Field(ge=date(1970, 1, 1), le=date(2999, 12, 31))]
From = Annotated[Day, Query(alias="from")]
To = Annotated[Day, Query(alias="to")]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
