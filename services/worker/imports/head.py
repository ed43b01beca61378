"""What is known of a CSV file while it is being uploaded: whether its header is right, and how many rows follow."""

import codecs
import csv

from services.worker.imports.records import MAX_RECORD, Place
from shared.errors import InvalidInput
from shared.imports import COLUMNS

HEADER = ",".join(COLUMNS)


class Head:
    """Sees a file pass by, piece by piece."""

    def __init__(self) -> None:
        self._first = b""
        self._line_ends = 0
        self._in_quotes = False
        self._in_line = False
        self.bytes = 0
        self.start: Place | None = None
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

    def end(self) -> Place:
        """Where the first row begins, of a file that has ended. Raises `InvalidInput`."""
        if self.start is None:
            self._read_header(self._first)
            self.start = Place(len(self._first), 2)
        return self.start

    def _find_start(self, first: bytes) -> bytes:
        header, line_end, rest = first.partition(b"\n")
        if line_end or len(first) > MAX_RECORD:
            self._read_header(header[:MAX_RECORD])
            self.start = Place(len(header) + 1, 2)
            return rest
        self._first = first
        return b""

    def _read_header(self, line: bytes) -> None:
        try:
            found = next(csv.reader([line.removeprefix(codecs.BOM_UTF8).decode()]), [])
        except (UnicodeDecodeError, csv.Error) as broken:
            raise InvalidInput.of("file", f"must begin with the header {HEADER}, in UTF-8") from broken
        if tuple(found) != COLUMNS:
            raise InvalidInput.of("file", f"must begin with the header {HEADER}")

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
