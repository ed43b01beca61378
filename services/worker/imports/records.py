"""The records of a CSV file, cut out of its bytes so that reading can go on at any of them.

A record that cannot be read costs only its first line: reading goes on at the next one. So a quote that is never closed
does not swallow the file, and no record needs more memory than `MAX_RECORD`.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.imports import COLUMNS, CsvRow

MAX_RECORD = 16 * 1024
"""Of bytes. A row that is an order has less."""
BLANK_LINES = re.compile(rb"(?:\r?\n)+")
TOO_LONG = f"is longer than {MAX_RECORD // 1024} KiB, or has a quote that is not closed"


@dataclass(frozen=True, slots=True)
class Place:
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
    end: Place


class _Raw(NamedTuple):
    start: int
    end: int
    line: int
    lines: int


def cut(data: bytes, place: Place, most: int, *, at_end: bool) -> Cut:
    """At most so many records, of the file's bytes from `place` on; `at_end` when the file ends with them.

    A record that is not whole yet is left for the next time. Blank lines are no records.
    """
    reading = _Reading(data, at_end, place.line, place.skipping)
    while len(reading.records) < most and reading.go_on(most):
        pass
    return Cut(reading.records, Place(place.offset + reading.at, reading.line, reading.skipping))


@dataclass(slots=True)
class _Reading:
    data: bytes
    at_end: bool
    line: int
    skipping: bool
    at: int = 0
    records: list[Record] = field(default_factory=list)

    def go_on(self, most: int) -> bool:
        """False when there is nothing more to be read here."""
        if self.skipping:
            return self._skip_line()
        if blank := BLANK_LINES.match(self.data, self.at):
            self.at, self.line = blank.end(), self.line + blank[0].count(b"\n")
            return True
        if raws := self._whole(most - len(self.records)):
            self._read(raws)
            return True
        if len(self.data) - self.at <= MAX_RECORD:
            return False
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
            return
        for raw in raws:
            if not self._read_one(raw):
                return

    def _read_one(self, raw: _Raw) -> bool:
        """False when reading goes on at its second line."""
        self.at, self.line = raw.end, raw.line + raw.lines
        try:
            [cells] = csv.reader([self._text(raw)], strict=True)
        except UnicodeDecodeError:
            self.records.append(Record(raw.line, (), "is not UTF-8"))
        except (csv.Error, ValueError) as error:
            self.records.append(Record(raw.line, (), f"is not CSV: {error}"))
            if raw.lines > 1:
                self.at, self.line = self.data.index(b"\n", raw.start) + 1, raw.line + 1
                return False
        else:
            self._add(raw.line, cells)
        return True

    def _add(self, line: int, cells: list[str]) -> None:
        if len(cells) == len(COLUMNS):
            self.records.append(Record(line, tuple(cells)))
        elif cells:
            self.records.append(Record(line, (), f"has {len(cells)} columns instead of {len(COLUMNS)}"))

    def _text(self, raw: _Raw) -> str:
        return self.data[raw.start : raw.end].decode()


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
