"""Each service during a memory alarm of RabbitMQ, which accepts no messages."""

from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.support.alarms import alarm
from tests.support.backends import RabbitBackend
from tests.support.services.description import Service
from tests.support.services.every import each_in_full
from tests.support.waiting import eventually

CHECK = {"users": "rabbitmq", "orders": "rabbitmq", "worker": "outbox"}


async def checks(app: FastAPI) -> dict[str, Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://probe") as probe:
        said: dict[str, Any] = (await probe.get("/readyz")).json()
    return said


async def takes(app: FastAPI, service: Service) -> bool:
    return bool((await checks(app))["checks"][CHECK[service.name]] == "ok")


async def says_blocked(app: FastAPI, service: Service) -> bool:
    said = await checks(app)
    return said["status"] == "degraded" and "accepts no messages" in said["checks"][CHECK[service.name]]


async def is_empty(app: FastAPI) -> bool:
    return not await app.state.db.pool.fetchval("SELECT count(*) FROM outbox")


@each_in_full
async def test_a_memory_alarm_degrades_every_service(
    service: Service, database_url: str, rabbitmq: RabbitBackend
) -> None:
    """Idle or not, the service reports that events wait, keeps serving, and recovers by itself; no event is lost."""
    async with service.running(database_url, rabbitmq.url) as app:
        await eventually(partial(takes, app, service), 120)
        async with alarm(rabbitmq):
            await eventually(partial(says_blocked, app, service), 120)
            somebody = await service.settle(app)
            assert (await service.write().by(somebody)).is_success
            assert await is_empty(app) is service.needs_broker
        await eventually(partial(takes, app, service), 120)
        await eventually(partial(is_empty, app), 120)


@pytest.mark.full
@each_in_full
async def test_a_service_that_starts_during_an_alarm_says_so(
    service: Service, database_url: str, rabbitmq: RabbitBackend
) -> None:
    async with alarm(rabbitmq), service.running(database_url, rabbitmq.url) as app:
        await eventually(partial(says_blocked, app, service), 120)
