"""The batches of an import."""

import json
from typing import Any
from uuid import uuid4

import pytest

from services.orders.import_rows import read
from shared.contracts.imports import COLUMNS
from shared.errors import InvalidInput

ROW = ["r-1", "EUR", "tea", "Tea", "1", "250", "2026-01-31T12:00:00Z"]


def batch(*rows: Any) -> bytes:
    return json.dumps({"user_id": str(uuid4()), "import_id": str(uuid4()), "rows": rows}).encode()


@pytest.mark.parametrize("column", range(len(COLUMNS)), ids=COLUMNS)
@pytest.mark.parametrize("value", [None, 7, 1.5, True, [], {}], ids=repr)
def test_a_cell_that_is_no_text_is_an_error_of_its_row(column: int, value: Any) -> None:
    """The other rows are orders nevertheless."""
    read_batch = read(batch(ROW, [*ROW[:column], value, *ROW[column + 1 :]], ROW))
    assert [(error.row, error.field) for error in read_batch.errors] == [(1, COLUMNS[column])]
    assert read_batch.orders.keys() == {0, 2}


@pytest.mark.parametrize("body", [b"", b"[]", b'{"rows":' * 10_000, b'{"rows":[] 7', batch()])
def test_what_is_no_batch_is_invalid_input(body: bytes) -> None:
    """The batch is invalid as a whole."""
    with pytest.raises(InvalidInput):
        read(body)


@pytest.mark.parametrize("row", [[], ROW[:6], [*ROW, "more"], None, "text", 7, {}], ids=repr)
def test_a_row_of_another_shape_costs_itself_alone_or_the_batch(row: Any) -> None:
    """The result is an error of that row or invalid input, and never another error."""
    try:
        read_batch = read(batch(ROW, row))
    except InvalidInput:
        return
    assert {error.row for error in read_batch.errors} == {1}
    assert read_batch.orders.keys() == {0}
