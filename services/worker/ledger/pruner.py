"""Deletes completed jobs that are so old that no duplicate can arrive any more."""

from functools import partial

from services.worker import metrics
from services.worker.ledger import history
from services.worker.ledger.sql import PURGE, PURGE_MAILS
from shared.db.engine import Database
from shared.db.retention import BATCH, sweep

EVERY_MINUTE = "* * * * *"
"""How often expired rows are deleted."""
CLOCKS_DIFFER_S = 3600.0
"""Rows are kept this much longer than the retention: an event's age depends on its producer's clock."""


async def purge_batch(db: Database, keep_done_s: float, limit: int = BATCH, *, statement: str = PURGE) -> int:
    """Delete the oldest; return how many. Skips rows that another worker is deleting."""
    async with db.connection() as connection:
        status = await connection.execute(statement, keep_done_s + CLOCKS_DIFFER_S, limit)
    deleted = int(status.rpartition(" ")[2])
    metrics.PURGED.inc(deleted)
    return deleted


async def purge(db: Database, table: str, statement: str, keep_s: float) -> None:
    """Delete all that is old enough from a table: batch by batch, each in its own transaction."""
    await sweep(db, table, partial(purge_batch, db, keep_s, statement=statement))


async def purge_all(db: Database, keep_done_s: float) -> None:
    """Purge the ledger with its history, and the mails of its jobs."""
    await history.expire(db)
    await purge(db, "jobs", PURGE, keep_done_s)
    await purge(db, "mails", PURGE_MAILS, keep_done_s)
