"""Deletes imports that are not kept any longer, with their files."""

from functools import partial

from services.worker.imports.leases import file_key
from services.worker.imports.storage import Storage
from shared.db import Database
from shared.sweeps import sweep

BATCH = 100
FIND = "SELECT user_id, id FROM imports WHERE expires_at <= now() ORDER BY expires_at LIMIT $1"
FORGET = "DELETE FROM imports WHERE user_id = $1 AND id = $2"


async def delete_expired(db: Database, storage: Storage, limit: int = BATCH) -> int:
    """The oldest; returns how many. The file goes first: as long as there is a row, it can be found."""
    async with db.connection() as connection:
        expired = await connection.fetch(FIND, limit)
    for row in expired:
        await storage.delete(file_key(row["id"]))
        async with db.connection() as connection:
            await connection.execute(FORGET, row["user_id"], row["id"])
    return len(expired)


async def delete_all_expired(db: Database, storage: Storage) -> None:
    """Batch by batch."""
    await sweep(db, "imports", partial(delete_expired, db, storage), BATCH)
