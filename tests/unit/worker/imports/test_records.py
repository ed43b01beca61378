"""Cutting records out of a CSV file, and what is known of a file while it is uploaded. No servers."""

import csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.worker.imports.records import MAX_RECORD, Head, Offset, Record, cut
from shared.contracts.imports import COLUMNS, is_blank
from shared.errors import InvalidInput

HEADER = ",".join(COLUMNS).encode() + b"\n"
ROW = b"a,EUR,s,n,1,2,t\n"
CELLS = tuple(ROW.decode().strip().split(","))
ODDITIES = (b'"', b"\n", b"\r\n", b",", b"\xff", b"\0", b'""', b"x" * (MAX_RECORD + 1), ROW, b'"a\nb",,,,,,\n')


def read(data: bytes, most: int = 1000, size: int | None = None) -> list[Record]:
    """All records, from pieces of `size` bytes, so many at a time."""
    place, held, found = Offset(0, 1), b"", []
    size = size or max(1, len(data))
    for start in range(0, len(data), size):
        held += data[start : start + size]
        at_end = start + size >= len(data)
        while held:
            more, end = cut(held, place, most, at_end=at_end)
            if end == place:
                break
            found += more
            held, place = held[end.offset - place.offset :], end
        assert len(held) <= MAX_RECORD + size, "memory is bounded"
    assert not held, "nothing is left over"
    return found


def problems(data: bytes) -> list[tuple[int, bool]]:
    return [(record.line, record.problem is None) for record in read(data)]


@given(st.lists(st.sampled_from(ODDITIES), max_size=30), st.integers(1, 5), st.integers(1, 20_000))
@settings(max_examples=150, deadline=None)
def test_how_the_file_is_cut_does_not_matter(parts: list[bytes], most: int, size: int) -> None:
    """The same records at the same lines come out, however it arrives and wherever one goes on."""
    data = b"".join(parts)
    assert read(data, most, size) == read(data)


@given(st.lists(st.lists(st.text(max_size=20), min_size=7, max_size=7), max_size=20))
@settings(max_examples=100, deadline=None)
def test_what_a_spreadsheet_writes_is_read_as_it_was(rows: list[list[str]]) -> None:
    """Any text in any cell: quotes, commas, line breaks, NUL. Rows without text are left out."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    data = text.getvalue().encode()
    assert [list(record.cells) for record in read(data)] == [row for row in rows if not all(map(is_blank, row))]


def test_a_quote_that_is_never_closed_costs_its_line() -> None:
    """The file goes on behind it, whether the rest is short or long."""
    for rest in (3, 3000):
        found = problems(ROW + b'"open' + ROW + ROW * rest)
        assert found == [(1, True), (2, False), *((3 + number, True) for number in range(rest))]


def test_a_quote_within_a_cell_does_not_join_lines() -> None:
    """Two cells with an inch sign each are what they look like, and no row between them is lost."""
    data = ROW.replace(b"n", b'19" rack') + ROW + ROW.replace(b"n", b'6" pipe') + ROW
    for rest in (b"", ROW * 3000):
        assert [record.cells[3] for record in read(data + rest)][:4] == ['19" rack', "n", '6" pipe', "n"]


def test_stray_quotes_cost_no_more_than_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is full of them is not parsed over and over again."""
    parsed = 0
    of_python = csv.reader

    def counted(lines: list[str], *, strict: bool) -> Iterator[list[str]]:
        nonlocal parsed
        parsed += len(lines)
        return of_python(lines, strict=strict)

    monkeypatch.setattr(csv, "reader", counted)
    assert len(read(ROW.replace(b"n", b'19" rack') * 1000)) == 1000
    assert parsed < 5000


def test_bad_bytes_cost_their_row() -> None:
    """Latin-1 in the middle of UTF-8."""
    assert problems(ROW + ROW.replace(b"a", b"\xe4") + ROW) == [(1, True), (2, False), (3, True)]


def test_a_million_columns_are_one_bad_row() -> None:
    """Passed over without being held."""
    [first, wide, last] = read(ROW + b"," * 1_000_000 + b"\n" + ROW, size=4096)
    assert (first.cells, last.cells, last.line) == (CELLS, CELLS, 3)
    assert "longer than 16 KiB" in (wide.problem or "")


def test_millions_of_blank_lines_are_no_work() -> None:
    """They are no rows, and are counted as lines."""
    assert read(b"\n" * 3_000_000 + b"\r\n" * 1_000_000 + ROW) == [Record(4_000_001, CELLS)]


def test_rows_are_counted_outside_quotes() -> None:
    """However the file arrives, with or without a line end at its end."""
    data = HEADER + ROW + b'"a\n\nb",,,,,,\n' + ROW.strip()
    for size in (1, 7, 10_000):
        head = Head()
        for start in range(0, len(data), size):
            head.see(data[start : start + size])
        assert (head.rows, head.bytes, head.end()) == (3, len(data), Offset(len(HEADER), 2))


@pytest.mark.parametrize("header", [b"", b"reference", HEADER.upper(), HEADER.replace(b",", b";"), b"\xff" + HEADER])
def test_another_header_is_refused(header: bytes) -> None:
    """As soon as its line has ended."""
    head = Head()
    with pytest.raises(InvalidInput):
        head.see(header + b"\n")


def test_a_header_without_an_end_is_refused() -> None:
    """After 16 KiB, or at the end of the file."""
    with pytest.raises(InvalidInput):
        Head().see(b"x" * (MAX_RECORD + 1))
    head = Head()
    head.see(b"refer")
    with pytest.raises(InvalidInput):
        head.end()


def test_a_header_may_have_a_byte_order_mark() -> None:
    head = Head()
    head.see(b"\xef\xbb\xbf" + HEADER.strip())
    assert head.end().offset == len(HEADER) + 2
