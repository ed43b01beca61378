"""A peer whose connection is never closed: its machine died, or something between forgot the connection."""

import asyncio
from contextlib import suppress
from uuid import uuid4

import asyncpg

from shared.clock import now
from shared.contracts import events
from shared.db.engine import Database
from shared.outbox import outbox
from shared.outbox.relay import ProducerSettings, Relay
from shared.server.background import Background
from tests.support.backends import RabbitBackend
from tests.support.link import Link
from tests.support.waiting import eventually

EVENT = events.UserDeleted(user_id=uuid4(), revision=1, deleted_at=now())
TAKE = "SELECT id FROM outbox FOR UPDATE SKIP LOCKED"
GATE = 7
"""An advisory lock: who waits for it is at work, and not idle."""
AT_WORK = """
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Patient(Relay):
    POLL_S = 600


async def test_its_locks_are_let_go(database_url: str, db: Database) -> None:
    """Rows that a relay had taken are there for another relay, long before TCP gives the connection up."""
    await db.pool.execute(outbox.INSERT, *outbox.row(EVENT))
    settings = ProducerSettings(environment="development", database_url=database_url, rabbitmq_url="")
    are_let_go = False
    async with db.connection() as gate:
        await gate.execute("SELECT pg_advisory_lock($1)", GATE)
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            async with Database.open(settings, idle_transaction_timeout_s=0.2) as gone, gone.connection() as connection:
                take = connection.execute(f"BEGIN; {TAKE}; SELECT pg_advisory_xact_lock({GATE})")
                working = asyncio.create_task(take)
                await eventually(lambda: gate.fetchval(AT_WORK))
                assert not await db.pool.fetch(TAKE)
                await gate.execute("SELECT pg_advisory_unlock($1)", GATE)
                await working
                await eventually(lambda: db.pool.fetch(TAKE))
                are_let_go = True
    assert are_let_go


async def test_the_broker_asks_often_whether_it_is_there(db: Database, rabbitmq: RabbitBackend) -> None:
    """So that messages in the hands of a consumer that is gone go to another within half a minute."""
    async with Background() as background:
        relay = Relay(db, rabbitmq.url, "users")
        background.start("relay", relay.run)
        await eventually(lambda: _succeeds(relay))
        listed = await asyncio.to_thread(rabbitmq.rabbitmqctl, "list_connections", "timeout", "--no-table-headers")
    assert "10" in listed.split()


async def test_a_relay_takes_no_leave_of_a_database_that_is_gone(database_url: str, rabbitmq: RabbitBackend) -> None:
    """One that has lost its broker says so at once: it does not wait for an answer to its UNLISTEN."""
    settings = ProducerSettings(environment="development", database_url=database_url, rabbitmq_url="")
    async with Link.to(database_url) as to_database, Link.to(rabbitmq.url) as to_broker:
        linked = settings.model_copy(update={"database_url": to_database.url})
        async with Database.open(linked) as db, Background() as background:
            relay = Patient(db, to_broker.url, "users")
            background.start("relay", relay.run)
            await eventually(lambda: _succeeds(relay))
            await eventually(lambda: _waits(db))
            to_database.silence()
            await to_broker.cut()
            await eventually(lambda: _fails(relay))
            await to_database.cut()


async def _waits(db: Database) -> bool:
    """It has looked once; the connection that listens is not of the pool."""
    return db.pool.get_size() == db.pool.get_idle_size() == 1


async def _succeeds(relay: Relay) -> bool:
    try:
        await relay.check()
    except ConnectionError:
        return False
    return True


async def _fails(relay: Relay) -> bool:
    return not await _succeeds(relay)
