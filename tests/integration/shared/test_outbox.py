"""The outbox: rows of the business transaction."""

import asyncio
from contextlib import suppress
from uuid import uuid4

import asyncpg

from shared.clock import now
from shared.contracts import events
from shared.db.engine import Database
from shared.outbox import outbox

EVENT = events.UserDeleted(user_id=uuid4(), revision=1, deleted_at=now())


async def test_an_event_is_stored_if_its_transaction_commits(db: Database) -> None:
    """One row with the event, under the id that `add` returned."""
    async with db.begin() as session:
        event_id = await outbox.add(session, EVENT)
    [row] = await db.pool.fetch("SELECT * FROM outbox")
    assert (row["id"], row["user_id"], row["type"]) == (event_id, EVENT.user_id, "user.deleted")
    assert row["payload"].encode() != b""
    assert row["available_at"] == row["created_at"]


async def test_an_event_is_gone_if_its_transaction_fails(db: Database) -> None:
    """What was not done is not told."""
    with suppress(ZeroDivisionError):
        async with db.begin() as session:
            await outbox.add(session, EVENT)
            raise ZeroDivisionError
    assert await db.pool.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_listener_is_woken_by_the_commit(db: Database, database_url: str) -> None:
    """One hint a statement, however many rows it adds."""
    hints: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(database_url)
    await listener.add_listener(outbox.CHANNEL, lambda *args: hints.put_nowait(str(args[2])))
    async with db.connection() as connection:
        await connection.executemany(outbox.INSERT, [outbox.row(EVENT) for _ in range(3)])
    async with asyncio.timeout(60):
        assert await hints.get() == outbox.CHANNEL
    await listener.close()
