"""What clients are told when the database or the broker is away, and what is kept then."""

import asyncio

import aio_pika
from fastapi import FastAPI

from shared import events, topology
from shared.db import Database
from shared.events import UserRegistered
from tests.support.backends import Backends
from tests.support.backends.databases import NewDatabase
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
    """500, neither user nor event; when commits work again, both are there."""
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
    assert await _rows(app.state.db) == (1, 1)


async def test_without_its_database_the_service_says_so_and_recovers(
    backends: Backends, new_database: NewDatabase
) -> None:
    """Every route is 503 with Retry-After and readiness names postgres; when it is back, so is the service."""
    async with serving(settings_for(new_database("users"))) as (_, gateway):
        person = await gateway.newcomer()
        await asyncio.to_thread(backends.postgres.kill)
        try:
            for method, path, request in (
                ("GET", "/v1/me", {}),
                ("POST", "/v1/users", {"json": {"email": "eve@example.com", "name": "Eve", "password": PASSWORD}}),
                ("POST", "/v1/tokens", {"data": {"username": person.email, "password": PASSWORD}}),
                ("POST", "/v1/tokens/refresh", {"json": {"refresh_token": person.refresh_token}}),
                ("POST", "/internal/panels/user", {"json": {"ids": [str(person.id)]}}),
            ):
                answer = await gateway.call(person, method, path, **request)
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2"), path
            stream = await gateway.call(
                person.having("admin"), "GET", "/v1/users", headers={"Accept": "application/x-ndjson"}
            )
            assert stream.status_code == 503
            readiness = await gateway.http.get("/readyz")
            assert readiness.status_code == 503
            assert readiness.json()["checks"]["postgres"] != "ok"
            assert (await gateway.http.get("/livez")).status_code == 200
        finally:
            await asyncio.to_thread(backends.postgres.start)

        async def answers() -> bool:
            return (await gateway.call(person, "GET", "/v1/me")).status_code == 200

        await eventually(answers)
        assert (await gateway.refresh(person.refresh_token)).status_code == 200
        assert (await gateway.http.get("/readyz")).status_code == 200


async def test_a_service_starts_before_its_database() -> None:
    """It runs, is alive, not ready, and answers 503."""
    nowhere = settings_for("postgresql://nobody:x@127.0.0.1:1/none")
    async with serving(nowhere) as (_, gateway):
        assert (await gateway.http.get("/livez")).status_code == 200
        assert (await gateway.http.get("/readyz")).status_code == 503
        assert (await gateway.login("ada@example.com")).status_code == 503
        assert "http_request_duration_seconds" in (await gateway.http.get("/metrics")).text


async def test_without_the_broker_the_service_is_only_degraded(gateway: Gateway) -> None:
    """Ready, but it names rabbitmq; registration works."""
    readiness = (await gateway.http.get("/readyz")).json()
    assert readiness["status"] == "degraded"
    assert readiness["checks"]["rabbitmq"] != "ok"
    await gateway.register()


async def test_a_registration_reaches_the_broker(backends: Backends, new_database: NewDatabase) -> None:
    """The event arrives in the worker's queue as it was written, and the outbox is empty then."""
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
        message = await queue.get(timeout=5)
        assert message is not None
        event = events.decode(message.headers, message.body).event
        await message.ack()
    assert isinstance(event, UserRegistered)
    assert (event.user_id, event.email, event.name, event.revision) == (person.id, person.email, "Ada", 1)
