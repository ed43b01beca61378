"""Keyset pages."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.http.pagination import decode_cursor, encode_cursor, page_of


@given(st.uuids())
def test_a_cursor_is_read_as_it_was_written(last: UUID) -> None:
    """An id is converted to a cursor and back; without a cursor there is no id."""
    assert decode_cursor(encode_cursor(last)) == last
    assert decode_cursor(None) is None


@given(st.text(max_size=64) | st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True))
def test_any_other_text_is_invalid_input(text: str) -> None:
    """A cursor is exactly the text that was returned, otherwise a problem names it."""
    try:
        last = decode_cursor(text)
    except InvalidInput:
        return
    assert last is not None
    assert encode_cursor(last) == text


@pytest.mark.parametrize("noise", ["!", " ", "=", "\n", "+"])
def test_a_cursor_with_noise_is_invalid_input(noise: str) -> None:
    """Base64 decoders skip unknown characters; a cursor with any is still invalid."""
    with pytest.raises(InvalidInput, match="cursor"):
        decode_cursor(4 * noise + encode_cursor(UUID(int=7)))


@given(st.lists(st.uuids(), max_size=20, unique=True), st.integers(1, 8))
def test_pages_together_are_the_list(ids: list[UUID], limit: int) -> None:
    """With any limit every row is listed once, in order, and the list ends."""
    seen: list[UUID] = []
    cursor = None
    while True:
        after = decode_cursor(cursor)
        start = ids.index(after) + 1 if after else 0
        items, cursor = page_of(ids[start : start + limit + 1], limit, lambda row: row)
        assert len(items) <= limit
        seen += items
        if cursor is None:
            break
    assert seen == ids
