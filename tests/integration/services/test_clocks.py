"""Each service with a wrong clock, while the clocks of databases, RabbitMQ and all others are right."""

import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import jwt
import pytest

from shared.clock import now
from shared.contracts import events
from shared.http.identity import GATEWAY
from shared.http.tokens import SERVICE_AUDIENCE
from shared.ids import new_id
from shared.outbox import outbox
from tests.support.clocks import needs_faketime, shifted
from tests.support.services.description import Service
from tests.support.services.every import EVERY
from tests.support.services.process import service_process
from tests.support.services.users import USERS
from tests.support.waiting import eventually

DAY_S = 86_400
pytestmark = needs_faketime
SECONDS, DAYS = (30, -30), (400 * DAY_S, -400 * DAY_S)

AUDIT = "INSERT INTO audit (id, action, created_at) VALUES ($1, 'x', $2)"
DONE = """
    INSERT INTO jobs (job, event_id, user_id, event_type, state, updated_at)
    VALUES ('analytics', $1, gen_random_uuid(), 'order.created', 'done', $2)
"""
SWEPT = {"users": (AUDIT, "SELECT id FROM audit"), "worker": (DONE, "SELECT event_id FROM jobs WHERE job <> 'email'")}
"""How a row is added to a table that a service sweeps, and how the remaining rows are read."""
YOUNG, OLD = timedelta(hours=1), timedelta(days=500)


def order() -> events.OrderCreated:
    return events.OrderCreated(
        user_id=uuid4(), order_id=uuid4(), currency="EUR", total=1, item_count=0, items=(), created_at=now(), mail=False
    )


async def is_empty(connection: asyncpg.Connection) -> bool:
    return not await connection.fetchval("SELECT count(*) FROM outbox")


async def is_swept(connection: asyncpg.Connection, query: str, old: object) -> bool:
    return old not in [row[0] for row in await connection.fetch(query)]


async def are_done(connection: asyncpg.Connection, event_id: object) -> bool:
    states = await connection.fetch("SELECT state FROM jobs WHERE event_id = $1", event_id)
    assert "dead" not in {row["state"] for row in states}
    return [row["state"] for row in states] == ["done"] * 4


@pytest.mark.full
@pytest.mark.parametrize(
    ("service", "offset_s"),
    [
        pytest.param(service, offset_s, marks=[pytest.mark.long] if offset_s in SECONDS else [])
        for service in EVERY
        for offset_s in (*SECONDS, *DAYS)
    ],
    ids=str,
)
async def test_a_wrong_clock_deletes_nothing_and_loses_no_event(
    service: Service, offset_s: int, database_url: str, vhost_url: str, tmp_path: Path
) -> None:
    """Rows that are old by the database's clock are deleted, and the others stay. Events are published, and their jobs
    run."""
    connection = await asyncpg.connect(database_url)
    insert, left = SWEPT.get(service.name, ("", ""))
    young, old = [new_id() for _ in range(20)], new_id(now() - OLD)
    if insert:
        await connection.executemany(insert, [(one, now() - YOUNG) for one in young])
        await connection.execute(insert, old, now() - OLD)
    row = outbox.row(order())
    await connection.execute(outbox.INSERT, *row)
    async with service_process(service, database_url, vhost_url, tmp_path / "log", shifted(offset_s)):
        await eventually(partial(is_empty, connection), 120)
        if service.needs_broker:
            await eventually(partial(are_done, connection, row[0]), 120)
        if insert:
            await eventually(partial(is_swept, connection, left, old), 120)
            assert {one[0] for one in await connection.fetch(left)} >= set(young)
    await connection.close()


@pytest.mark.full
@pytest.mark.parametrize("offset_s", [*SECONDS, *DAYS])
@pytest.mark.parametrize("service", [USERS], ids=str)
async def test_a_wrong_clock_ends_no_session(
    service: Service, offset_s: int, database_url: str, vhost_url: str, tmp_path: Path
) -> None:
    """A refresh token of another process is valid here, and its successor there."""
    async with service.running(database_url) as app:
        somebody = await service.settle(app)
        secret = app.state.settings.internal_token_secret.get_secret_value()
        then = int(time.time()) + offset_s
        claims = {"iss": GATEWAY, "aud": SERVICE_AUDIENCE, "iat": then - 10, "exp": then + 110}
        headers = {"Authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"}
        async with (
            service_process(service, database_url, vhost_url, tmp_path / "log", shifted(offset_s)) as url,
            httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as wrong,
        ):
            given = {"refresh_token": somebody.has["refresh_token"]}
            answer = await wrong.post("/v1/tokens/refresh", json=given)
            assert answer.status_code == 200, answer.text
        given = {"refresh_token": answer.json()["refresh_token"]}
        assert (await somebody.post("/v1/tokens/refresh", json=given)).status_code == 200
