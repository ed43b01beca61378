"""Report definitions in the database."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationInfo,
    field_validator,
)
from sqlalchemy.ext.asyncio import AsyncSession

from services.worker.models import REVENUE
from services.worker.reports import models
from shared.clock import now
from shared.contracts.reports import Day, Form, Kind
from shared.errors import NotFound
from shared.http import pagination
from shared.ids import new_id
from shared.money import decimal_sql

MOST_DAYS = 3660
_REVENUE = f"greatest({REVENUE}, 0)"
_ANALYTICS = """
    SELECT to_char(day, 'YYYY-MM-DD') AS day, currency, orders, {revenue} AS revenue FROM daily_rollups
    WHERE user_id = $1 AND day BETWEEN $2 AND $3 AND orders > 0 ORDER BY daily_rollups.day, currency
"""
ANALYTICS: dict[Form, str] = {
    "spreadsheet": _ANALYTICS.format(revenue=decimal_sql(_REVENUE, "currency")),
    "data": _ANALYTICS.format(revenue=_REVENUE),
}


class ReportNotFound(NotFound):
    code, title = "report_not_found", "No such report"


_BEGINS_WITH_A_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:$|T)")  # pydantic would also take a number of seconds
_date, _moment = TypeAdapter[date](date), TypeAdapter[datetime](AwareDatetime)


def _day(value: object) -> date:
    """Parse a date, or take the UTC day of a timestamp (RFC 3339)."""
    try:
        if not isinstance(value, str) or not _BEGINS_WITH_A_DATE.match(value):
            raise TypeError
        if len(value) == len("2026-01-31"):
            return _date.validate_strings(value, strict=True)
        return _moment.validate_strings(value, strict=True).astimezone(UTC).date()
    except (TypeError, ValueError, OverflowError) as wrong:
        raise ValueError("must be a date, such as 2026-01-31, or a timestamp with its offset") from wrong


WantedDay = Annotated[Day, BeforeValidator(_day)]


class NewReport(BaseModel):
    """Days are in UTC and both included; a timestamp (RFC 3339) stands for its day."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Kind
    first_day: WantedDay = Field(alias="from", examples=["2026-01-01"])
    last_day: WantedDay = Field(alias="to", examples=["2026-01-31"])

    @field_validator("last_day")
    @classmethod
    def _is_a_period(cls, last: date, info: ValidationInfo) -> date:
        first = info.data.get("first_day")
        if first is not None and last < first:
            raise ValueError("must not be before `from`")
        if first is not None and last - first >= timedelta(days=MOST_DAYS):
            raise ValueError(f"a report may cover at most {MOST_DAYS} days")
        return last


class Report(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: Kind
    first_day: date = Field(serialization_alias="from", validation_alias="first_day")
    last_day: date = Field(serialization_alias="to", validation_alias="last_day")
    created_at: datetime


async def add(session: AsyncSession, user_id: UUID, wanted: NewReport) -> Report:
    row = models.Report(user_id=user_id, id=new_id(), created_at=now(), **wanted.model_dump())
    session.add(row)
    return Report.model_validate(row)


async def get(session: AsyncSession, user_id: UUID, report_id: UUID) -> Report:
    """Raises `ReportNotFound`, also for another user's report."""
    row = await session.get(models.Report, (user_id, report_id))
    if row is None:
        raise ReportNotFound
    return Report.model_validate(row)


async def page(session: AsyncSession, user_id: UUID, cursor: str | None, limit: int) -> pagination.Page[Report]:
    """Return reports, newest first."""
    query = sa.select(models.Report).where(models.Report.user_id == user_id).order_by(models.Report.id.desc())
    if before := pagination.decode_cursor(cursor):
        query = query.where(models.Report.id < before)
    rows = (await session.scalars(query.limit(limit + 1))).all()
    found, next_cursor = pagination.page_of(rows, limit, lambda row: row.id)
    return pagination.Page(items=[Report.model_validate(row) for row in found], next_cursor=next_cursor)
