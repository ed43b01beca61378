"""Deletion of old rows, limited to a share of the table: a wrong clock or setting must not empty a table unnoticed."""

from collections.abc import Awaitable, Callable
from math import ceil

from prometheus_client import Counter

from shared.db.engine import Database
from shared.observability.logs import get_logger

BOUNDED = Counter("sweeps_bounded_total", "Sweeps that stopped at the maximum share of a table.", ["table"])

MOST_SHARE = 0.1
FEW = 10
"""This many rows may always be deleted."""
BATCH = 1000

# Large tables are not counted; Postgres's estimate is sufficient. The subquery runs only if it is needed.
ROWS = """
    SELECT CASE WHEN reltuples > 100000 THEN reltuples::bigint ELSE (SELECT count(*) FROM {table}) END
    FROM pg_class WHERE oid = '{table}'::regclass
"""

DeleteSome = Callable[[int], Awaitable[int]]
"""Delete at most this many rows, and return how many were deleted."""

log = get_logger(__name__)


async def sweep(db: Database, table: str, delete: DeleteSome, batch: int = BATCH) -> None:
    """Delete batch by batch until nothing is due, or a tenth of the table is deleted. Reports the latter in the log and
    a metric; the next sweep continues."""
    async with db.connection() as connection:
        rows: int = await connection.fetchval(ROWS.format(table=table))
    left = max(FEW, ceil(rows * MOST_SHARE))
    while left:
        limit = min(batch, left)
        if (deleted := await delete(limit)) < limit:
            return
        left -= deleted
    BOUNDED.labels(table).inc()
    log.warning("sweep stopped at the maximum share of a table", table=table, rows=rows, share=MOST_SHARE)
