"""Deletes what has been done for so long that no duplicate of it can come any more."""

import asyncio

import asyncpg

from services.worker import metrics
from services.worker.statements import PURGE, PURGE_MAILS, PURGE_WEBHOOK_DELIVERIES
from shared.db import UNAVAILABLE, Database
from shared.logs import get_logger

log = get_logger(__name__)

BATCH = 1000
CLOCKS_DIFFER_S = 3600.0
"""Rows stay this much longer than the ledger vouches for: an event's age is told by its producer's clock."""


DOWN: tuple[type[Exception], ...] = (*UNAVAILABLE, asyncpg.PostgresError)


async def purge_batch(db: Database, keep_done_s: float, limit: int = BATCH, statement: str = PURGE) -> int:
    """Deletes the oldest; returns how many. Rows that another worker is deleting are left to it."""
    async with db.connection() as connection:
        status = await connection.execute(statement, keep_done_s + CLOCKS_DIFFER_S, limit)
    deleted = int(status.rpartition(" ")[2])
    metrics.PURGED.inc(deleted)
    return deleted


async def purge(db: Database, keep_done_s: float, keep_deliveries_s: float, interval_s: float) -> None:
    """Until cancelled, every so often: batch by batch, each a transaction of its own."""
    kept = ((PURGE, keep_done_s), (PURGE_MAILS, keep_done_s), (PURGE_WEBHOOK_DELIVERIES, keep_deliveries_s))
    while True:
        try:
            for statement, keep_s in kept:
                while await purge_batch(db, keep_s, statement=statement) == BATCH:
                    pass
        except DOWN as error:
            log.warning("the ledger cannot be purged", error=repr(error))
        await asyncio.sleep(interval_s)
