"""Keyset pages: newest first by UUIDv7, so that every page costs the same however deep it is."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from shared.errors import InvalidInput
from shared.http.tokens import b64url, b64url_decode

T = TypeVar("T")

MAX_PAGE = 100

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="the maximum number of rows in a page")]
CURSOR = "AZNdLn9qfCudUT8KS2yOEA"
"""An example."""
Cursor = Annotated[
    str | None, Query(max_length=64, description="`next_cursor` of the previous page", examples=[CURSOR])
]


class Page(BaseModel, Generic[T]):
    """`next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None = Field(None, examples=[CURSOR])


def encode_cursor(last: UUID) -> str:
    """Return the cursor of the page after the row with this id."""
    return b64url(last.bytes)


def decode_cursor(cursor: str | None) -> UUID | None:
    """Return the id after which the page begins. Raises `InvalidInput` for anything that `encode_cursor` does not
    produce."""
    if cursor is None:
        return None
    try:
        last = UUID(bytes=b64url_decode(cursor))
    except ValueError:
        last = None
    if last is None or encode_cursor(last) != cursor:  # the decoder skips characters that it does not know
        raise InvalidInput.of("cursor", "is not a cursor of this list")
    return last


def page_of(rows: Sequence[T], limit: int, id_of: Callable[[T], UUID]) -> tuple[list[T], str | None]:
    """Split rows that were read with `limit` + 1 into the page and the next cursor."""
    items = list(rows[:limit])
    return items, encode_cursor(id_of(items[-1])) if len(rows) > limit else None
