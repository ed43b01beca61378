"""The background tasks of each service while a dependency is down, hangs, or sends invalid responses."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI

from services.users.audit import repository as audit
from shared.db import engine
from shared.outbox.relay import Relay
from shared.server.background import Background, TaskFailing
from tests.support.backends import RabbitBackend
from tests.support.link import Link
from tests.support.metrics import sample
from tests.support.outages import OFTEN, SOON, Outage, hang, is_well, outages, refuse, running_tasks
from tests.support.services.description import Service
from tests.support.services.every import each_in_full
from tests.support.waiting import eventually

PERIODIC = {
    "users": ("audit expiry", "outbox gauges"),
    "orders": ("outbox gauges",),
    "worker": ("sweeper", "ledger gauges", "outbox gauges"),
}
"""The repeated tasks that need the database."""
INTERVALS: dict[str, dict[str, Any]] = {"worker": {"sweep_interval_s": 0.05}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Background, "POLICY", SOON)
    monkeypatch.setattr(audit, "EXPIRY_EVERY_S", 0.05)
    monkeypatch.setattr(Relay, "MEASURE_S", 0.05)
    monkeypatch.setattr(Relay, "RECONNECT_S", 0.05)
    monkeypatch.setattr("services.worker.broker.queue_stats.EVERY_S", 0.05)
    monkeypatch.setattr("shared.outbox.publisher.CONNECT_TIMEOUT_S", 1.0)
    monkeypatch.setattr("services.worker.broker.rabbitmq.CONNECT_TIMEOUT_S", 1.0)


def failures(task: str) -> float:
    return sample("background_restarts_total", {"task": task}) or 0


def has_failed(task: str, times: float) -> bool:
    return failures(task) >= times


async def assert_outlived(service: Service, app: FastAPI, end: Callable[[], Awaitable[None]]) -> None:
    """Assert that every repeated task fails repeatedly and is reported, and that it works after the outage."""
    tasks = running_tasks(app)
    before = {name: failures(name) for name in PERIODIC[service.name]}
    for name in PERIODIC[service.name]:
        await eventually(partial(has_failed, name, before[name] + OFTEN), 120)
    with pytest.raises(TaskFailing):
        await app.state.background.check()
    await end()
    await eventually(lambda: is_well(app), 120)
    assert running_tasks(app) == tasks
    assert app.state.background.failure is None


@each_in_full
@outages
async def test_every_task_outlives_its_database(
    service: Service, outage: Outage, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running service survives an outage that is longer than any number of attempts."""
    async with Link.to(database_url) as link:
        if outage is hang:
            for name in ("CONNECT_TIMEOUT_S", "ACQUIRE_TIMEOUT_S", "COMMAND_TIMEOUT_S"):
                monkeypatch.setattr(engine, name, 1.0)
        async with service.running(link.url, **INTERVALS.get(service.name, {})) as app:
            await eventually(lambda: is_well(app), 120)
            await outage(link)
            await assert_outlived(service, app, lambda: mended(link))


@each_in_full
async def test_every_task_outlives_a_database_that_is_away_at_the_start(service: Service, database_url: str) -> None:
    """The tasks retry without a limit, and then work without a restart."""
    async with Link.to(database_url) as link:
        await link.cut()
        async with service.running(link.url, **INTERVALS.get(service.name, {})) as app:
            await assert_outlived(service, app, lambda: mended(link))


@each_in_full
@outages
async def test_every_task_outlives_its_broker(
    service: Service, outage: Outage, database_url: str, rabbitmq: RabbitBackend
) -> None:
    """The tasks reconnect to RabbitMQ by themselves, and the service is ready afterwards."""
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(Link.to(rabbitmq.url))
        more = {"reconnect_s": 0.05} if service.needs_broker else {}
        app = await stack.enter_async_context(service.running(database_url, link.url, **more))
        await eventually(lambda: has_broker(app), 120)
        tasks = running_tasks(app)
        await link.cut()
        if outage is not refuse:
            await link.mend()
            await outage(link)
            accepted = link.accepted
            await eventually(lambda: link.accepted >= accepted + OFTEN, 120)
        await eventually(lambda: lacks_broker(app), 120)
        await mended(link)
        await eventually(lambda: has_broker(app), 120)
        assert running_tasks(app) == tasks
        assert app.state.background.failure is None


async def mended(link: Link) -> None:
    await link.mend()


async def has_broker(app: FastAPI) -> bool:
    checks = app.state.checks
    try:
        await (checks.needed | checks.useful)["rabbitmq"]()
    except Exception:
        return False
    return True


async def lacks_broker(app: FastAPI) -> bool:
    return not await has_broker(app)
