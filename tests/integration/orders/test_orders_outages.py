"""The orders service while what it depends on is away."""

import asyncio
import time

import httpx
from fastapi import FastAPI

from shared.panels import DEADLINE_HEADER
from tests.support.backends import RabbitBackend
from tests.support.link import Link
from tests.support.orders import BODY, NO_BROKER, Visitor, running, settings_of
from tests.support.waiting import eventually


async def _ready(visitor: httpx.AsyncClient) -> httpx.Response:
    return await visitor.get("/readyz")


async def test_without_its_database_it_answers_503_until_that_is_back(database_url: str) -> None:
    """Every route says when to come back; the probe names postgres; nothing needs a restart."""
    async with Link.to(database_url) as link, running(settings_of(link.url)) as app:
        user = Visitor(app)
        placed = await user.place()
        await link.cut()
        calls = (
            user.post("/v1/orders", json=BODY),
            user.post("/v1/orders", json=BODY, headers={"Idempotency-Key": "k"}),
            user.get("/v1/orders"),
            user.get(f"/v1/orders/{placed['id']}"),
            user.post(f"/v1/orders/{placed['id']}/pay"),
            user.post("/internal/panels/orders", json={"ids": [str(user.user_id)]}),
        )
        for call in calls:
            response = await call
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) >= 1
        ready = await _ready(user)
        assert ready.status_code == 503
        assert ready.json()["checks"]["postgres"] != "ok"
        assert (await user.get("/livez")).status_code == 200
        await link.mend()
        assert (await user.get("/v1/orders")).json()["items"][0]["id"] == placed["id"]
        assert (await user.post("/v1/orders", json=BODY)).status_code == 201
        assert (await _ready(user)).status_code == 200


async def test_it_starts_before_its_database(database_url: str) -> None:
    """Alive and not ready at first; it serves as soon as it can."""
    async with Link.to(database_url) as link:
        await link.cut()
        async with running(settings_of(link.url)) as app:
            user = Visitor(app)
            assert (await user.get("/livez")).status_code == 200
            assert (await user.get("/v1/orders")).status_code == 503
            await link.mend()
            assert (await user.post("/v1/orders", json=BODY)).status_code == 201


async def test_a_database_that_says_nothing_keeps_a_panel_no_longer_than_its_deadline(database_url: str) -> None:
    """A connection that is up but dead costs the caller the time they gave, and not the next caller."""
    async with Link.to(database_url) as link, running(settings_of(link.url)) as app:
        user = Visitor(app)
        await user.place()
        link.silence()
        body, headers = {"ids": [str(user.user_id)]}, {DEADLINE_HEADER: "200"}
        began = time.monotonic()
        response = await user.post("/internal/panels/orders", json=body, headers=headers)
        assert response.status_code == 503
        assert time.monotonic() - began < 2
        await link.cut()
        await link.mend()
        assert (await user.post("/internal/panels/orders", json=body)).status_code == 200


async def test_without_a_broker_orders_are_accepted(app: FastAPI, user: Visitor) -> None:
    """201; the probe is ready, but degraded, and names rabbitmq; the event waits."""
    assert app.state.settings.rabbitmq_url == NO_BROKER
    await user.place()
    ready = await _ready(user)
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["checks"]["rabbitmq"] != "ok"
    assert await app.state.db.pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_broker_that_goes_away_while_nothing_happens_is_noticed(
    database_url: str, rabbitmq: RabbitBackend
) -> None:
    """The probe says so without an order being placed; what is placed meanwhile goes out once it is back."""
    async with Link.to(rabbitmq.url) as link, running(settings_of(database_url, link.url)) as app:
        user = Visitor(app)

        async def says(status: str) -> bool:
            found: str = (await _ready(user)).json()["status"]
            return found == status

        async def is_published() -> bool:
            return bool(await app.state.db.pool.fetchval("SELECT count(*) = 0 FROM outbox"))

        await eventually(lambda: says("ready"))
        await link.cut()
        await eventually(lambda: says("degraded"))
        await user.place()
        assert not await is_published()
        await link.mend()
        await eventually(is_published)
        assert app.state.background.failure is None


async def test_with_every_connection_in_use_it_answers_503_until_one_is_free(database_url: str) -> None:
    """Whoever would have to wait for too long is told to come back, and the service recovers by itself."""
    async with running(settings_of(database_url, pool_size=1)) as app:
        user = Visitor(app)
        placed = await user.place()
        async with app.state.db.connection(), app.state.db.begin() as session:
            await session.connection()
            refused = await asyncio.gather(
                user.post("/v1/orders", json=BODY),
                user.get(f"/v1/orders/{placed['id']}"),
                user.post("/internal/panels/orders", json={"ids": [str(user.user_id)]}),
            )
        assert [answer.status_code for answer in refused] == [503] * 3
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        assert (await user.get(f"/v1/orders/{placed['id']}")).status_code == 200
        await user.place()
