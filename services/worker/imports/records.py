"""The records of a CSV file, cut out of its bytes so that reading can go on at any of them.

A record that cannot be read costs only its first line: reading goes on at the next one. So a quote that is never closed
does not swallow the file, and no record needs more memory than `MAX_RECORD`.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.contracts.imports import COLUMNS, CsvRow, is_blank

MAX_RECORD = 16 * 1024
"""Of bytes. A row that is an order has less."""
BLANK_LINES = re.compile(rb"(?:\r?\n)+")
TOO_LONG = f"is longer than {MAX_RECORD // 1024} KiB"
NOT_UTF_8 = "is not in UTF-8: save the file as CSV in UTF-8"
STRAY_QUOTE = (
    'has a quotation mark in the wrong place: put the cell in quotation marks, and write each one in it twice ("")'
)
STRAY_RETURN = "has a carriage return in a cell that is not in quotation marks"
_UNDECODED = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Offset:
    """Where a record begins: its offset in the file, in bytes, and its line, from 1. `skipping`: within a line that is
    passed over."""

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


def cut(data: bytes, place: Offset, most: int, *, at_end: bool) -> Cut:
    """At most so many records, of the file's bytes from `place` on; `at_end` when the file ends with them.

    A record that is not whole yet is left for the next time. Blank lines are no records.
    """
    reading = _Reading(data, at_end, place.line, place.skipping)
    while len(reading.records) < most and reading.go_on(most):
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
    """Records that are read together; few where stray quotation marks have it begin anew."""
    records: list[Record] = field(default_factory=list)

    def go_on(self, most: int) -> bool:
        """False when there is nothing more to be read here."""
        if self.skipping:
            return self._skip_line()
        if blank := BLANK_LINES.match(self.data, self.at):
            self.at, self.line = blank.end(), self.line + blank[0].count(b"\n")
            return True
        if raws := self._whole(min(self.at_once, most - len(self.records))):
            self._read(raws)
            return True
        if len(self.data) - self.at <= MAX_RECORD:
            return False
        newline = self.data.find(b"\n", self.at, self.at + MAX_RECORD)
        if newline >= 0:  # it would go on beyond its line, and not end
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

    def _whole(self, most: int) -> list[_Raw]:
        """The next records that end in the data and are not too long."""
        raws: list[_Raw] = []
        at, line = self.at, self.line
        while len(raws) < most and at < len(self.data):
            end, lines = _end(self.data, at, at_end=self.at_end)
            if end < 0 or self.data.startswith((b"\n", b"\r\n"), at):
                break
            raws.append(_Raw(at, end, line, lines))
            at, line = end, line + lines
        return raws

    def _read(self, raws: Sequence[_Raw]) -> None:
        """All at once, or, when one of them is not well, one by one."""
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
        """What looked like the beginning of a quoted cell was none, such as an inch sign."""
        end = self.data.index(b"\n", raw.start) + 1
        self._read_one(_Raw(raw.start, end, raw.line, 1))
        self.at_once = 1

    def _read_one(self, raw: _Raw) -> bool:
        """False when these lines are not one record, which is an error of a row where it is one line."""
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
    """Without what spreadsheets add: empty cells beyond the columns, and all cells of an empty row."""
    if len(cells) <= len(COLUMNS) and cells[:1] and not is_blank(cells[0]):
        return cells
    kept = len(cells)
    while kept > len(COLUMNS) and is_blank(cells[kept - 1]):
        kept -= 1
    return [] if all(map(is_blank, cells)) else cells[:kept]


def _end(data: bytes, start: int, *, at_end: bool) -> tuple[int, int]:
    """Where a record ends, and its number of lines; a negative end when it has none here, or is too long."""
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
