"""Paused jobs: their queues keep the messages, and other queues flow."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.worker.settings import Settings
from tests.support.backends import RabbitBackend
from tests.support.metrics import sample
from tests.support.waiting import eventually
from tests.support.worker.queues import consumers_of, ready_messages
from tests.support.worker.world import LONG_S, World, created, working

QUICK: dict[str, Any] = {"watch_interval_s": 0.1}
ANALYTICS, NOTIFICATIONS, RECIPIENTS = "worker.analytics", "worker.notifications", "worker.recipients"


async def pause(world: World, *jobs: str) -> None:
    await world.fetch("INSERT INTO paused_jobs (job, actor) SELECT unnest($1::text[]), $2", list(jobs), uuid4())


async def resume(world: World, *jobs: str) -> None:
    await world.fetch("DELETE FROM paused_jobs WHERE job = ANY($1)", list(jobs))


async def until_consumed_by(settings: Settings, queue: str, count: int) -> None:
    async def reached() -> bool:
        return await consumers_of(settings, queue) == count

    await eventually(reached, LONG_S)


async def orders_of(world: World, user_id: UUID) -> int:
    return int((await world.panel("analytics", user_id))[str(user_id)]["orders"])


async def test_a_paused_job_keeps_its_messages(settings: Settings) -> None:
    """Neither a job with batches nor one without runs; the others do. After it is resumed, each event counts once."""
    async with working(settings.model_copy(update=QUICK)) as world:
        await world.until_ready()
        expected = sample("worker_consumers_expected") or 0
        await pause(world, "analytics", "recipients")
        for queue in (ANALYTICS, RECIPIENTS):
            await until_consumed_by(settings, queue, 0)
        await eventually(lambda: sample("worker_consumers_expected") == expected - 2, LONG_S)
        user_id = uuid4()
        ids = await world.publish(*(created(user_id, mail=False) for _ in range(30)))
        await world.until_all(ids, notifications="done")
        assert await ready_messages(settings, ANALYTICS) == 30
        await world.until_ready()
        await resume(world, "analytics", "recipients")
        await world.until_all(ids, analytics="done")
        assert await orders_of(world, user_id) == 30
        await until_consumed_by(settings, RECIPIENTS, 1)
        await eventually(lambda: sample("worker_consumers_expected") == expected, LONG_S)


@pytest.mark.full
async def test_a_paused_job_keeps_its_messages_through_a_restart_of_rabbitmq(
    settings: Settings, rabbitmq: RabbitBackend
) -> None:
    """They are on disk, and the worker that connects again leaves them there."""
    async with working(settings.model_copy(update=QUICK)) as world:
        await world.until_ready()
        await pause(world, "analytics")
        await until_consumed_by(settings, ANALYTICS, 0)
        ids = await world.publish(*(created(uuid4(), mail=False) for _ in range(30)))
        await world.until_all(ids, notifications="done")
        await asyncio.to_thread(rabbitmq.restart)
        await world.until_ready()
        assert await ready_messages(settings, ANALYTICS) == len(ids)
        await resume(world, "analytics")
        await world.until_all(ids, analytics="done")


@pytest.mark.full
async def test_pausing_under_load_loses_nothing(settings: Settings) -> None:
    """Messages that arrive while the consumer stops are processed or stay in the queue."""
    async with working(settings.model_copy(update=QUICK)) as world:
        await world.until_ready()
        user_id, ids = uuid4(), []
        for _ in range(3):
            ids += await world.publish(*(created(user_id, mail=False) for _ in range(100)))
            await pause(world, "analytics", "notifications")
            for queue in (ANALYTICS, NOTIFICATIONS):
                await until_consumed_by(settings, queue, 0)
            await resume(world, "analytics", "notifications")
        await world.until_all(ids, analytics="done", notifications="done")
        assert await orders_of(world, user_id) == len(ids)
        for queue in (ANALYTICS, NOTIFICATIONS):
            assert await ready_messages(settings, queue) == 0


@pytest.mark.full
async def test_a_worker_starts_with_the_pauses(settings: Settings) -> None:
    """A paused job has no consumer from the start, and the worker is ready."""
    async with working(settings) as world:
        await world.until_ready()
        await pause(world, "analytics")
    async with working(settings.model_copy(update=QUICK)) as world:
        await world.until_ready()
        assert await consumers_of(settings, ANALYTICS) == 0
        [event_id] = await world.publish(created(uuid4(), mail=False))
        await world.until(event_id, notifications="done")
        assert await ready_messages(settings, ANALYTICS) == 1
        await resume(world, "analytics")
        await world.until(event_id, analytics="done")
