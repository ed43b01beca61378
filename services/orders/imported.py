"""What a row of an import must be. The rules of its fields are those of `POST /v1/orders`."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_extra_types.currency_code import Currency

from services.orders.schemas import QUANTITY, UNIT_PRICE, Sku, Text
from shared.clock import now
from shared.errors import InvalidInput
from shared.imports import COLUMNS, MAX_ROWS, RowError

_WHOLE = re.compile(r"-?[0-9]{1,30}")
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""Where the time in an order's id begins."""


def _whole(told: object) -> str:
    if not isinstance(told, str) or not _WHOLE.fullmatch(told):
        raise PydanticCustomError("whole_number", "must be a whole number")
    return told


def _moment(told: object) -> str:
    if not isinstance(told, str) or not _RFC3339.fullmatch(told):
        raise PydanticCustomError("moment", "must be a time with its zone, such as 2026-01-31T12:00:00Z")
    return told


def _past(moment: datetime) -> datetime:
    if not _EARLIEST <= moment <= now():
        raise PydanticCustomError("past", "must be a time since 1970 that is not in the future")
    return moment


class ImportedOrder(NamedTuple):
    """In the order of `COLUMNS`."""

    reference: Text
    currency: Currency
    sku: Sku
    name: Text
    quantity: Annotated[int, BeforeValidator(_whole), QUANTITY]
    unit_price: Annotated[int, BeforeValidator(_whole), UNIT_PRICE]
    ordered_at: Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_past)]

    @property
    def total(self) -> int:
        return self.quantity * self.unit_price


class _Batch(BaseModel):
    user_id: UUID
    import_id: UUID
    rows: Annotated[list[ImportedOrder], Field(min_length=1, max_length=MAX_ROWS)]


class _Rest(BaseModel):
    """A batch of which some rows are wrong."""

    user_id: UUID
    import_id: UUID
    rows: list[Any]


class Batch(NamedTuple):
    """`orders` by their place in the batch; the rows that are none have `errors`."""

    user_id: UUID
    import_id: UUID
    orders: dict[int, ImportedOrder]
    errors: list[RowError]


def read(body: bytes) -> Batch:
    """The rows that are orders, and why the others are not. Raises `InvalidInput` when the body is no batch."""
    try:
        batch = _Batch.model_validate_json(body)
    except ValidationError as refused:
        return _read_rest(body, refused)
    return Batch(batch.user_id, batch.import_id, dict(enumerate(batch.rows)), [])


def _read_rest(body: bytes, refused: ValidationError) -> Batch:
    errors = list(_row_errors(refused))
    if len(errors) < refused.error_count():
        raise InvalidInput(str(refused))
    bad = {error.row for error in errors}
    rest = _Rest.model_validate_json(body)
    places = [place for place in range(len(rest.rows)) if place not in bad]
    orders = _orders([rest.rows[place] for place in places], rest)
    return Batch(rest.user_id, rest.import_id, dict(zip(places, orders, strict=True)), errors)


def _orders(rows: Sequence[Any], rest: _Rest) -> list[ImportedOrder]:
    if not rows:
        return []
    return _Batch.model_validate({"user_id": rest.user_id, "import_id": rest.import_id, "rows": rows}).rows


def _row_errors(refused: ValidationError) -> Iterator[RowError]:
    for error in refused.errors(include_url=False, include_context=False, include_input=False):
        match error["loc"]:
            case ("rows", int(row), int(column), *_):
                yield RowError(row, COLUMNS[column], error["msg"])
            case ("rows", int(row)):
                yield RowError(row, "row", error["msg"])
