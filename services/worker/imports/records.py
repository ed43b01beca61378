"""The records of a CSV file, and the check of its header.

Records are split by bytes, so that reading can resume at any of them. A record that cannot be read loses only its first
line: reading continues at the next one. So a quote that is never closed does not swallow the file, and no record needs
more memory than `MAX_RECORD`.
"""

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.contracts.imports import BLANKS, COLUMNS, CsvRow, is_blank
from shared.errors import InvalidInput

MAX_RECORD = 16 * 1024
"""The limit in bytes. A valid row is smaller."""
BLANK_LINES = re.compile(rb"(?:\r?\n)+")
TOO_LONG = f"is longer than {MAX_RECORD // 1024} KiB"
NOT_UTF_8 = "is not in UTF-8: save the file as CSV in UTF-8"
STRAY_QUOTE = 'has a misplaced quotation mark: put the cell in quotation marks, and double each one inside ("")'
STRAY_RETURN = "has a carriage return in a cell without quotation marks"
_UNDECODED = re.compile("[\ud800-\udfff]")
HEADER = ",".join(COLUMNS)
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BEGINNINGS = {b"PK\x03\x04": "is a workbook, not CSV.", b"\xd0\xcf\x11\xe0": "is a workbook, not CSV."}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True)
class Offset:
    """The start of a record: its offset in the file, in bytes, and its line, from 1. `skipping`: within a line that
    is skipped."""

    offset: int
    line: int
    skipping: bool = False


class Record(NamedTuple):
    """`problem`: why it has no `cells`."""

    line: int
    cells: CsvRow
    problem: str | None = None


class Cut(NamedTuple):
    records: list[Record]
    end: Offset


class _Raw(NamedTuple):
    start: int
    end: int
    line: int
    lines: int


def cut(data: bytes, place: Offset, limit: int, *, at_end: bool) -> Cut:
    """Return up to a maximum number of records from the file's bytes, starting at `place`; `at_end` if the file ends
    with them.

    An incomplete record is left for the next call. Blank lines are not records.
    """
    reading = _Reading(data, at_end, place.line, place.skipping)
    while len(reading.records) < limit and reading.go_on(limit):
        pass
    return Cut(reading.records, Offset(place.offset + reading.at, reading.line, reading.skipping))


@dataclass(slots=True)
class _Reading:
    data: bytes
    at_end: bool
    line: int
    skipping: bool
    at: int = 0
    at_once: int = 1024
    """The number of records that are read together; few if stray quotation marks make it restart."""
    records: list[Record] = field(default_factory=list)

    def go_on(self, limit: int) -> bool:
        """Returns False if nothing more can be read here."""
        if self.skipping:
            return self._skip_line()
        if blank := BLANK_LINES.match(self.data, self.at):
            self.at, self.line = blank.end(), self.line + blank[0].count(b"\n")
            return True
        if raws := self._whole(min(self.at_once, limit - len(self.records))):
            self._read(raws)
            return True
        if len(self.data) - self.at <= MAX_RECORD:
            return False
        newline = self.data.find(b"\n", self.at, self.at + MAX_RECORD)
        if newline >= 0:  # it would continue beyond its line, and not end
            self._read_first_line(_Raw(self.at, newline + 1, self.line, 1))
            return True
        self.records.append(Record(self.line, (), TOO_LONG))
        self.skipping = True
        return True

    def _skip_line(self) -> bool:
        newline = self.data.find(b"\n", self.at)
        self.skipping = newline < 0
        self.at = len(self.data) if self.skipping else newline + 1
        self.line += not self.skipping
        return not self.skipping

    def _whole(self, limit: int) -> list[_Raw]:
        """Return the next records that end in the data and are not too long."""
        raws: list[_Raw] = []
        at, line = self.at, self.line
        while len(raws) < limit and at < len(self.data):
            end, lines = _end(self.data, at, at_end=self.at_end)
            if end < 0 or self.data.startswith((b"\n", b"\r\n"), at):
                break
            raws.append(_Raw(at, end, line, lines))
            at, line = end, line + lines
        return raws

    def _read(self, raws: Sequence[_Raw]) -> None:
        """Parse all at once, or one by one if one of them is invalid."""
        try:
            rows = list(csv.reader([self._text(raw) for raw in raws], strict=True))
        except (UnicodeDecodeError, csv.Error):
            rows = []
        if len(rows) == len(raws):
            for raw, cells in zip(raws, rows, strict=True):
                self._add(raw.line, cells)
            self.at, self.line = raws[-1].end, raws[-1].line + raws[-1].lines
            self.at_once *= 2
            return
        for raw in raws:
            if not self._read_one(raw) and raw.lines > 1:
                self._read_first_line(raw)
                return

    def _read_first_line(self, raw: _Raw) -> None:
        """The apparent start of a quoted cell was none, such as an inch sign."""
        end = self.data.index(b"\n", raw.start) + 1
        self._read_one(_Raw(raw.start, end, raw.line, 1))
        self.at_once = 1

    def _read_one(self, raw: _Raw) -> bool:
        """Returns False if these lines are not one record, which is a row error if it is one line."""
        self.at, self.line = raw.end, raw.line + raw.lines
        text = self.data[raw.start : raw.end].decode(errors="surrogateescape")
        try:
            rows = list(csv.reader([text], strict=True))
        except csv.Error:
            rows = []
        if len(rows) == 1 and not _UNDECODED.search(text):
            self._add(raw.line, rows[0])
        elif len(rows) == 1:
            self.records.append(Record(raw.line, (), NOT_UTF_8))
        elif raw.lines == 1:
            self.records.append(Record(raw.line, (), STRAY_RETURN if "\r" in text.rstrip() else STRAY_QUOTE))
        return len(rows) == 1

    def _add(self, line: int, cells: list[str]) -> None:
        cells = without_blanks_at_the_end(cells)
        if len(cells) == len(COLUMNS):
            self.records.append(Record(line, tuple(cells)))
        elif cells:
            self.records.append(Record(line, (), f"has {len(cells)} columns instead of {len(COLUMNS)}"))

    def _text(self, raw: _Raw) -> str:
        return self.data[raw.start : raw.end].decode()


def without_blanks_at_the_end(cells: list[str]) -> list[str]:
    """Remove what spreadsheets add: empty cells beyond the columns, and all cells of an empty row."""
    if len(cells) <= len(COLUMNS) and cells[:1] and not is_blank(cells[0]):
        return cells
    kept = len(cells)
    while kept > len(COLUMNS) and is_blank(cells[kept - 1]):
        kept -= 1
    return [] if all(map(is_blank, cells)) else cells[:kept]


def _end(data: bytes, start: int, *, at_end: bool) -> tuple[int, int]:
    """Return the end of a record, and its number of lines; a negative end if it does not end here, or is too long."""
    at, quotes, lines = start, 0, 0
    while True:
        newline = data.find(b"\n", at)
        end = newline + 1 or (len(data) if at_end else -1)
        if end < 0 or end - start > MAX_RECORD:
            return -1, lines
        quotes += data.count(b'"', at, end)
        lines += 1
        if quotes % 2 == 0 or (at_end and end == len(data)):
            return end, lines
        if end == len(data):
            return -1, lines
        at = end


class Head:
    """Processes a file piece by piece."""

    def __init__(self) -> None:
        self._first = b""
        self._line_ends = 0
        self._in_quotes = False
        self._in_line = False
        self.bytes = 0
        self.start: Offset | None = None
        """The offset of the first row; None until the header has been read."""

    @property
    def rows(self) -> int:
        """Line ends outside quotes, after the header, including those of blank lines."""
        return self._line_ends + self._in_line

    def see(self, piece: bytes) -> None:
        """Raises `InvalidInput` for a wrong header."""
        self.bytes += len(piece)
        if self.start is None:
            piece = self._find_start(self._first + piece)
        self._count(piece)

    def end(self) -> Offset:
        """Return the offset of the first row, at the end of the file. Raises `InvalidInput`."""
        if self.start is None:
            self._read_header(self._first)
            self.start = Offset(len(self._first), 2)
        return self.start

    def _find_start(self, first: bytes) -> bytes:
        header, line_end, rest = first.partition(b"\n")
        if line_end or len(first) > MAX_RECORD:
            self._read_header(header[:MAX_RECORD])
            self.start = Offset(len(header) + 1, 2)
            return rest
        self._first = first
        return b""

    def _read_header(self, line: bytes) -> None:
        if problem := header_problem(line):
            raise InvalidInput.of("file", f"{problem} It must begin with the header {HEADER}")

    def _count(self, piece: bytes) -> None:
        if not piece:
            return
        if b'"' in piece:
            parts = piece.split(b'"')
            outside = parts[1::2] if self._in_quotes else parts[::2]
            self._line_ends += sum(part.count(b"\n") for part in outside)
            self._in_quotes ^= len(parts) % 2 == 0
        elif not self._in_quotes:
            self._line_ends += piece.count(b"\n")
        self._in_line = self._in_quotes or not piece.endswith(b"\n")


def header_problem(line: bytes) -> str | None:
    """Return what is wrong with the header, as a user-facing sentence; None if it is correct."""
    for beginning, problem in BEGINNINGS.items():
        if line.startswith(beginning):
            return problem
    if line.startswith(UTF_16) or b"\0" in line:
        return "is not in UTF-8, perhaps in UTF-16: save it as CSV in UTF-8."
    try:
        text = line.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        return "is not in UTF-8: save it as CSV in UTF-8."
    if "\r" in text.rstrip():
        return "ends its lines with CR, not with LF or CR LF."
    for separator, name in SEPARATORS.items():
        if _columns(text, separator) == list(COLUMNS):
            return f"separates its columns by {name}, not by commas."
    return _columns_problem(_columns(text, ","))


def _columns_problem(found: list[str]) -> str | None:
    if found == list(COLUMNS):
        return None
    for column in COLUMNS:
        if found.count(column) > 1:
            return f"has the column {column} twice."
    missing = [column for column in COLUMNS if column not in found]
    if len(missing) == len(COLUMNS):
        return "has another header, or none."
    if missing:
        return f"lacks the column {missing[0]}."
    more = [column for column in found if column not in COLUMNS]
    return "has an unknown column." if more else "has its columns in another order."


def _columns(text: str, separator: str) -> list[str]:
    try:
        cells = next(csv.reader([text], delimiter=separator), [])
    except csv.Error:
        return []
    return without_blanks_at_the_end([cell.strip(BLANKS) for cell in cells])
