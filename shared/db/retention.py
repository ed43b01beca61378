"""Deletes old rows, but no more than a share of a table at once: a wrong clock or setting must not empty it unseen."""

from collections.abc import Awaitable, Callable
from math import ceil

from prometheus_client import Counter

from shared.db.engine import Database
from shared.observability.logs import get_logger

BOUNDED = Counter("sweeps_bounded_total", "Sweeps that deleted as much of a table as one may.", ["table"])

MOST_SHARE = 0.1
FEW = 10
"""So many rows may go in any case."""
BATCH = 1000

# Large tables are not counted: the estimate of Postgres will do. The subquery is run only where it is needed.
ROWS = """
    SELECT CASE WHEN reltuples > 100000 THEN reltuples::bigint ELSE (SELECT count(*) FROM {table}) END
    FROM pg_class WHERE oid = '{table}'::regclass
"""

DeleteSome = Callable[[int], Awaitable[int]]
"""Deletes at most so many rows. Returns how many."""

log = get_logger(__name__)


async def sweep(db: Database, table: str, delete: DeleteSome, batch: int = BATCH) -> None:
    """Delete batch by batch until nothing is due, or a tenth of the table is deleted. Says so in the log and a metric;
    the next sweep goes on."""
    async with db.connection() as connection:
        rows: int = await connection.fetchval(ROWS.format(table=table))
    left = max(FEW, ceil(rows * MOST_SHARE))
    while left:
        limit = min(batch, left)
        if (deleted := await delete(limit)) < limit:
            return
        left -= deleted
    BOUNDED.labels(table).inc()
    log.warning("a sweep has deleted as much of a table as one may", table=table, rows=rows, share=MOST_SHARE)
