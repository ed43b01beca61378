"""Validation of import rows. The rules of the fields are those of `POST /v1/orders`."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, LiteralString, NamedTuple, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_extra_types.currency_code import Currency

from services.orders.schemas import QUANTITY, UNIT_PRICE, Sku, Text
from shared.clock import now
from shared.contracts.imports import BLANKS, COLUMNS, MAX_ROWS, RowError, is_blank
from shared.errors import InvalidInput

_WHOLE = re.compile(r"-?[0-9]{1,30}")
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})")
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\u00ad"))
WORDS = {
    "string_too_short": "has fewer than {min_length} characters",
    "string_too_long": "has more than {max_length} characters",
    "string_pattern_mismatch": "has a character that cannot be stored",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_type": "must be text",
    "InvalidCurrency": "must be a currency of ISO 4217, such as EUR",
    "datetime_from_date_parsing": "is not a valid time",
    "datetime_parsing": "is not a valid time",
}
"""The user-facing message of an error, by its type."""
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""The earliest time that an order's id can hold."""


def _trimmed(told: object) -> object:
    return told.strip(BLANKS) if isinstance(told, str) else told


def _unified(told: object) -> object:
    """Normalise a reference: references that look the same are equal. Unifies blanks, removes invisible marks,
    composes letters."""
    if not isinstance(told, str):
        return told
    if told.isascii() and told.isprintable() and "  " not in told:
        return told.strip()
    return " ".join(unicodedata.normalize("NFC", told).translate(_INVISIBLE).split())


def _whole(told: object, kind: LiteralString = "whole number") -> str:
    if not isinstance(told, str) or not _WHOLE.fullmatch(told):
        raise PydanticCustomError("whole_number", f"must be a {kind}")
    return told


def _minor_units(told: object) -> str:
    return _whole(told, "whole number of minor units, such as 1250 for 12.50 EUR")


def _moment(told: object) -> str:
    if not isinstance(told, str) or not _RFC3339.fullmatch(told):
        raise PydanticCustomError("moment", "must be a time with its zone, such as 2026-01-31T12:00:00Z")
    return told


def _past(moment: datetime) -> datetime:
    if not _EARLIEST <= moment <= now():
        raise PydanticCustomError("past", "must be a time since 1970 that is not in the future")
    return moment


_TRIMMED = BeforeValidator(_trimmed)  # validators in `before` mode run from the last to the first


class ImportedOrder(NamedTuple):
    """Return the cells in the order of `COLUMNS`, without surrounding blanks."""

    reference: Annotated[Text, BeforeValidator(_unified)]
    currency: Annotated[Currency, _TRIMMED]
    sku: Annotated[Sku, _TRIMMED]
    name: Annotated[Text, _TRIMMED]
    quantity: Annotated[int, BeforeValidator(_whole), _TRIMMED, QUANTITY]
    unit_price: Annotated[int, BeforeValidator(_minor_units), _TRIMMED, UNIT_PRICE]
    ordered_at: Annotated[AwareDatetime, BeforeValidator(_moment), _TRIMMED, AfterValidator(_past)]

    def trimmed(self) -> Self:
        """Return an order as it would be imported today: surrounding blanks were once kept."""
        return self._replace(sku=self.sku.strip(BLANKS), name=self.name.strip(BLANKS))

    @property
    def total(self) -> int:
        return self.quantity * self.unit_price


class _Batch(BaseModel):
    user_id: UUID
    import_id: UUID
    rows: Annotated[list[ImportedOrder], Field(min_length=1, max_length=MAX_ROWS)]


class _Rest(BaseModel):
    """A batch in which some rows are invalid."""

    user_id: UUID
    import_id: UUID
    rows: list[Any]


class Batch(NamedTuple):
    """`orders` by their index in the batch; the invalid rows have `errors`."""

    user_id: UUID
    import_id: UUID
    orders: dict[int, ImportedOrder]
    errors: list[RowError]


def read(body: bytes) -> Batch:
    """Return the valid orders, and the errors of the other rows. Raises `InvalidInput` if the body is not a batch."""
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
    for error in refused.errors(include_url=False):
        words = WORDS.get(error["type"])
        message = error["msg"] if words is None else words.format_map(error.get("ctx", {}))
        if _is_empty(error["input"]):
            message = "is missing"
        match error["loc"]:
            case ("rows", int(row), int(column), *_):
                yield RowError(row, COLUMNS[column], message)
            case ("rows", int(row)):
                yield RowError(row, "row", message)


def _is_empty(cell: object) -> bool:
    return isinstance(cell, str) and is_blank(cell)
