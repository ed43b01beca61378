"""The contract between worker and orders service for imports: the columns of the file, and the batches of rows that the
worker sends.

POST /internal/orders/batch  {"user_id", "import_id", "rows": [[<the columns, as text>], ...]}
→ {"created", "repeated", "errors": [{"row", "field", "message"}, ...]}

A reference that a user has used before creates no second order, so a batch may be sent again.
"""

import string
from uuid import UUID

import msgspec

COLUMNS = ("reference", "currency", "sku", "name", "quantity", "unit_price", "ordered_at")
BATCH_PATH = "/internal/orders/batch"
MAX_ROWS = 1000
MAX_BATCH_BYTES = 8 * 1024 * 1024
LIVE_KEY = "import"
"""The routing key of live messages about the progress of an import."""

CsvRow = tuple[str, ...]
"""One text per column."""


BLANKS = f"{string.whitespace}\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}\ufeff\u200b"
"""Characters that spreadsheets, web pages and byte order marks leave around a cell."""


def is_blank(cell: str) -> bool:
    return not cell.strip(BLANKS)


class OrderBatch(msgspec.Struct, frozen=True):
    user_id: UUID
    import_id: UUID
    rows: list[CsvRow]


class RowError(msgspec.Struct, frozen=True):
    """`row` is the index in the batch, from 0. A row may have several errors."""

    row: int
    field: str
    message: str


class BatchOutcome(msgspec.Struct, frozen=True):
    """`repeated` lists the rows whose order already existed."""

    created: int
    repeated: int
    errors: list[RowError] = []


class ImportProgress(msgspec.Struct, frozen=True):
    id: UUID
    state: str
    rows_total: int
    rows_done: int
    rows_failed: int
    rows_per_s: float | None
    eta_s: int | None


class ImportHint(msgspec.Struct, frozen=True, rename={"progress": "import"}):
    """The message changes no panel."""

    user_id: UUID
    panels: list[str]
    progress: ImportProgress
