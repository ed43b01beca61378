"""Files of orders as people have them, from their bytes to orders. No servers."""

import re
from uuid import UUID

import msgspec
import pytest

from services.orders import import_rows
from services.worker.imports.records import Head, Record, cut
from shared.contracts.imports import OrderBatch
from shared.errors import InvalidInput
from tests.support.csv_corpus import SAMPLES, Sample

WORDS_OF_PROGRAMS = re.compile(
    "csv|delimiter|newline=|expected after|Input should|String should|Value error|pydantic|0x|None"
)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_file_becomes_what_it_looks_like(sample: Sample) -> None:
    """Orders, and for each row that is none an error in words for a person; or it is refused as a whole."""
    if sample.refused:
        with pytest.raises(InvalidInput) as refused:
            records_of(sample.content)
        [message] = [error["message"] for error in refused.value.errors or []]
        assert sample.refused in message
        assert not WORDS_OF_PROGRAMS.search(message)
        return
    records = records_of(sample.content)
    problems = {record.line: record.problem for record in records if record.problem}
    good = [record for record in records if not record.problem]
    orders, errors = placed(good)
    assert orders == sample.orders
    problems |= errors
    assert problems.keys() == sample.problems.keys(), problems
    for line, words in sample.problems.items():
        assert words in problems[line]
        assert not WORDS_OF_PROGRAMS.search(problems[line])


def records_of(content: bytes) -> list[Record]:
    head = Head()
    head.see(content)
    place, records = head.end(), []
    while place.offset < len(content):
        found = cut(content[place.offset :], place, 1000, at_end=True)
        assert found.end != place, "reading goes on"
        records += found.records
        place = found.end
    return records


def placed(records: list[Record]) -> tuple[list[tuple[str, str]], dict[int, str]]:
    """Reference and name of each order, and what is wrong, by line."""
    if not records:
        return [], {}
    batch = OrderBatch(UUID(int=1), UUID(int=2), [record.cells for record in records])
    found = import_rows.read(msgspec.json.encode(batch))
    errors = {records[error.row].line: error.message for error in found.errors}
    return [(order.reference, order.name) for order in found.orders.values()], errors
