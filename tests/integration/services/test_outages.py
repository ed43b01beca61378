"""Each service while its database or its broker is down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from shared.contracts.panels import DEADLINE_HEADER
from shared.db import engine
from tests.support.backends import PostgresBackend, RabbitBackend
from tests.support.backends.databases import NewDatabase
from tests.support.link import Link
from tests.support.services.description import NOTHING, Call, Service, Somebody
from tests.support.services.every import EVERY, each_in_full, each_producer
from tests.support.waiting import eventually

SOON = {DEADLINE_HEADER: "200"}
BOUND_S = 120


@pytest.fixture
async def link(database_url: str) -> AsyncIterator[Link]:
    async with Link.to(database_url) as link:
        yield link


async def ready(app: FastAPI) -> tuple[int, dict[str, Any]]:
    """Return the status of the readiness probe, and its report."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://probe") as probe:
        answer = await probe.get("/readyz")
        assert (await probe.get("/livez")).status_code == 200
    return answer.status_code, answer.json()


async def assert_says_postgres(app: FastAPI) -> None:
    """Assert that the service is alive and not ready, and that the probe names Postgres."""
    status, said = await ready(app)
    assert (status, said["status"]) == (503, "unavailable")
    assert said["checks"]["postgres"] != "ok"


async def assert_recovered(service: Service, app: FastAPI) -> None:
    status, said = await ready(app)
    assert said["checks"]["postgres"] == "ok"
    assert (status == 200) is not service.needs_broker  # there is no broker here


async def waiting(app: FastAPI) -> int:
    """Return the events in the outbox."""
    return int(await app.state.db.pool.fetchval("SELECT count(*) FROM outbox"))


async def assert_unavailable(call: Call, somebody: Somebody) -> None:
    answer = await call.by(somebody)
    assert answer.status_code == 503, (call.method, call.path, answer.text)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "2", (call.method, call.path)


async def assert_served(call: Call, somebody: Somebody) -> None:
    """Assert that the response does not say that the caller or the database is unknown."""
    answer = await call.by(somebody)
    assert answer.status_code < 500, (call.method, call.path, answer.text)
    assert answer.status_code != 401, (call.method, call.path, answer.text)


async def succeeds(call: Call, somebody: Somebody) -> bool:
    answer = await call.by(somebody)
    assert answer.is_success or answer.status_code == 503, answer.text
    return answer.is_success


@each_in_full
async def test_without_its_database_every_route_is_503_until_that_is_back(service: Service, link: Link) -> None:
    """Every response has `Retry-After`, the probe names postgres, and no restart is needed. Refused requests have no
    effect: a refresh token is still valid."""
    async with service.running(link.url) as app:
        somebody = await service.settle(app)
        await link.cut()
        for call in service.calls(somebody, NOTHING):
            await assert_unavailable(call, somebody)
        await assert_says_postgres(app)
        await link.mend()
        for call in service.calls(somebody, NOTHING):
            await assert_served(call, somebody)
        await assert_recovered(service, app)
        assert app.state.background.failure is None


@each_in_full
async def test_it_starts_before_its_database(service: Service, link: Link) -> None:
    """The service is alive and not ready at first; it exposes its metrics, and serves as soon as it can."""
    await link.cut()
    async with service.running(link.url) as app:
        somebody = Somebody(app)
        await assert_says_postgres(app)
        await assert_unavailable(service.write(), somebody)
        assert "http_request_duration_seconds" in (await somebody.get("/metrics")).text
        await link.mend()
        assert await succeeds(service.write(), somebody)
        await assert_recovered(service, app)


@each_in_full
async def test_a_database_that_says_nothing_keeps_a_panel_no_longer_than_its_deadline(
    service: Service, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead connection costs the caller the time of their deadline, and does not affect the next caller."""
    for name in ("COMMAND_TIMEOUT_S", "ACQUIRE_TIMEOUT_S"):
        monkeypatch.setattr(engine, name, 10 * BOUND_S)  # only the deadline ends the wait
    async with service.running(link.url) as app:
        somebody = await service.settle(app)
        for panel, with_deadline in zip(service.panels_of(somebody), service.panels_of(somebody, SOON), strict=True):
            assert await succeeds(panel, somebody)
            link.silence()
            async with asyncio.timeout(BOUND_S):
                await assert_unavailable(with_deadline, somebody)
            await link.cut()
            await link.mend()
            assert await succeeds(panel, somebody)
        await assert_recovered(service, app)


@each_in_full
async def test_with_every_connection_in_use_it_is_503_until_one_is_free(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers do not wait long for a connection: the response has `Retry-After`. The service recovers by itself."""
    async with service.running(database_url) as other:
        settled = await service.settle(other)
        calls = service.calls(settled, SOON)
    monkeypatch.setattr(engine, "ACQUIRE_TIMEOUT_S", 0.2)
    async with service.running(database_url, pool_size=1) as app:
        somebody = Somebody(app, settled.user_id, "user", **settled.has)
        async with app.state.db.connection(BOUND_S), app.state.db.begin() as session:
            await session.connection()
            refused = [call for call in calls if call.pooled]
            await asyncio.gather(*(assert_unavailable(call, somebody) for call in refused))
        await eventually(partial(succeeds, service.read, somebody))
        await eventually(lambda: succeeds(service.write(), somebody))


@each_in_full
async def test_without_a_broker_it_serves_and_says_what_is_missing(service: Service, app: FastAPI) -> None:
    """It accepts requests. A service that only publishes is degraded but ready, and its events wait; the worker is not
    ready."""
    somebody = await service.settle(app)
    before = await waiting(app)
    assert await succeeds(service.write(), somebody)
    assert await waiting(app) == before + (0 if service.needs_broker else service.written)
    status, said = await ready(app)
    assert said["checks"]["rabbitmq"] != "ok"
    assert (status, said["status"]) == ((503, "unavailable") if service.needs_broker else (200, "degraded"))


@pytest.mark.full
@each_producer
async def test_a_broker_that_goes_away_while_nothing_happens_is_noticed(
    service: Service, database_url: str, rabbitmq: RabbitBackend
) -> None:
    """The probe reports it without an event. An event of that time waits in the outbox, and is published afterwards."""
    async with Link.to(rabbitmq.url) as broker, service.running(database_url, broker.url) as app:

        async def says(status: str) -> bool:
            return bool((await ready(app))[1]["status"] == status)

        async def is_published() -> bool:
            return await waiting(app) == 0

        somebody = await service.settle(app)
        await eventually(lambda: says("ready"))
        await eventually(is_published)
        await broker.cut()
        await eventually(lambda: says("degraded"))
        assert await succeeds(service.write(), somebody)
        assert await waiting(app) == service.written
        await broker.mend()
        await eventually(is_published)
        await eventually(lambda: says("ready"))
        assert app.state.background.failure is None


async def test_every_service_outlives_a_postgres_that_is_killed(
    postgres: PostgresBackend, new_database: NewDatabase
) -> None:
    """Postgres is killed and restarted: each service reports it, and serves again without a restart."""
    async with AsyncExitStack() as stack:
        settled = []
        for service in EVERY:
            url = await asyncio.to_thread(new_database, service.name)
            app = await stack.enter_async_context(service.running(url))
            settled.append((service, app, await service.settle(app)))
        await asyncio.to_thread(postgres.kill)
        try:
            for service, app, somebody in settled:
                await assert_unavailable(service.read, somebody)
                await assert_says_postgres(app)
        finally:
            await asyncio.to_thread(postgres.start)
        for service, app, somebody in settled:
            await eventually(partial(succeeds, service.read, somebody))
            assert await succeeds(service.write(), somebody)
            await assert_recovered(service, app)
