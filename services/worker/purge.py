"""Deletes what has been done for so long that no duplicate of it can come any more."""

from services.worker import metrics
from services.worker.statements import PURGE, PURGE_MAILS, PURGE_WEBHOOK_DELIVERIES
from shared.db import Database

BATCH = 1000
CLOCKS_DIFFER_S = 3600.0
"""Rows stay this much longer than the ledger vouches for: an event's age is told by its producer's clock."""


async def purge_batch(db: Database, keep_done_s: float, limit: int = BATCH, statement: str = PURGE) -> int:
    """Deletes the oldest; returns how many. Rows that another worker is deleting are left to it."""
    async with db.connection() as connection:
        status = await connection.execute(statement, keep_done_s + CLOCKS_DIFFER_S, limit)
    deleted = int(status.rpartition(" ")[2])
    metrics.PURGED.inc(deleted)
    return deleted


async def purge(db: Database, keep_done_s: float, keep_deliveries_s: float) -> None:
    """All that is old enough: batch by batch, each a transaction of its own."""
    kept = ((PURGE, keep_done_s), (PURGE_MAILS, keep_done_s), (PURGE_WEBHOOK_DELIVERIES, keep_deliveries_s))
    for statement, keep_s in kept:
        while await purge_batch(db, keep_s, statement=statement) == BATCH:
            pass
