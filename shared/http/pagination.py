"""Keyset pages: newest first by UUIDv7, so that a page costs the same however deep it lies."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from shared.errors import InvalidInput
from shared.http.tokens import b64url, b64url_decode

T = TypeVar("T")

MAX_PAGE = 100

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="rows a page, at most")]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before")]


class Page(BaseModel, Generic[T]):
    """`next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(last: UUID) -> str:
    """The cursor of the page that follows the row with this id."""
    return b64url(last.bytes)


def decode_cursor(cursor: str | None) -> UUID | None:
    """The id behind which the page begins. Raises `InvalidInput` for anything that `encode_cursor` does not make."""
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
    """Cut rows of which one more than `limit` was asked for; returns the page and the next cursor."""
    items = list(rows[:limit])
    return items, encode_cursor(id_of(items[-1])) if len(rows) > limit else None
