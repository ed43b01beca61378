"""Failing commits, and the events that reach the broker."""

import aio_pika
from fastapi import FastAPI

from shared.contracts import events, topology
from shared.contracts.events import UserRegistered
from shared.db.engine import Database
from tests.support.backends import Backends
from tests.support.backends.databases import NewDatabase
from tests.support.patience import PATIENCE_S
from tests.support.users import PASSWORD, Gateway, serving, settings_for
from tests.support.waiting import eventually

FAIL_AT_COMMIT = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused at commit'; END $$;
    CREATE CONSTRAINT TRIGGER refuse_at_commit AFTER INSERT ON users
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
"""


async def _rows(db: Database) -> tuple[int, int]:
    async with db.connection() as connection:
        row = await connection.fetchrow("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM outbox)")
    assert row is not None
    return row[0], row[1]


async def test_a_commit_that_fails_is_not_called_a_success(alone: tuple[FastAPI, Gateway]) -> None:
    """The response is 500, without user, event or mail. When commits work again, all are stored."""
    app, gateway = alone
    body = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD}
    async with app.state.db.connection() as connection:
        await connection.execute(FAIL_AT_COMMIT)
    answer = await gateway.http.post("/v1/users", json=body)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert await _rows(app.state.db) == (0, 0)
    async with app.state.db.connection() as connection:
        await connection.execute("DROP TRIGGER refuse_at_commit ON users")
    assert (await gateway.http.post("/v1/users", json=body)).status_code == 201
    assert await _rows(app.state.db) == (1, 2)


async def test_a_registration_reaches_the_broker(backends: Backends, new_database: NewDatabase) -> None:
    """The event arrives unchanged in the worker's queue, and the outbox is then empty."""
    async with (
        serving(settings_for(new_database("users"), backends.rabbitmq.url)) as (app, gateway),
        await aio_pika.connect(backends.rabbitmq.url) as connection,
    ):
        channel = await connection.channel()
        await topology.declare(channel)
        queue = await channel.get_queue(topology.QUEUES["recipients"].name)
        await queue.purge()
        person = await gateway.register(name="Ada")

        async def published() -> bool:
            return await _rows(app.state.db) == (1, 0)

        await eventually(published)
        message = await queue.get(timeout=PATIENCE_S)
        assert message is not None
        event = events.decode(message.headers, message.body).event
        await message.ack()
    assert isinstance(event, UserRegistered)
    assert (event.user_id, event.email, event.name, event.revision) == (person.id, person.email, "Ada", 1)
