"""What is known of a CSV file while it is being uploaded: whether its header is right, and how many rows follow."""

import codecs
import csv

from services.worker.imports.records import MAX_RECORD, Offset, without_blanks_at_the_end
from shared.contracts.imports import BLANKS, COLUMNS
from shared.errors import InvalidInput

HEADER = ",".join(COLUMNS)
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BEGINNINGS = {b"PK\x03\x04": "is a workbook, not CSV.", b"\xd0\xcf\x11\xe0": "is a workbook, not CSV."}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class Head:
    """Sees a file pass by, piece by piece."""

    def __init__(self) -> None:
        self._first = b""
        self._line_ends = 0
        self._in_quotes = False
        self._in_line = False
        self.bytes = 0
        self.start: Offset | None = None
        """Where the first row begins; None until the header has been seen."""

    @property
    def rows(self) -> int:
        """Line ends outside quotes, after the header. Blank lines count, too."""
        return self._line_ends + self._in_line

    def see(self, piece: bytes) -> None:
        """Raises `InvalidInput` for a header that is not ours."""
        self.bytes += len(piece)
        if self.start is None:
            piece = self._find_start(self._first + piece)
        self._count(piece)

    def end(self) -> Offset:
        """Where the first row begins, of a file that has ended. Raises `InvalidInput`."""
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
    """Why this is not the header, as a sentence for a person; None when it is."""
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
    return "has a column that is not known." if more else "has its columns in another order."


def _columns(text: str, separator: str) -> list[str]:
    try:
        cells = next(csv.reader([text], delimiter=separator), [])
    except csv.Error:
        return []
    return without_blanks_at_the_end([cell.strip(BLANKS) for cell in cells])
