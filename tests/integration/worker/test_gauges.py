"""What the worker tells of the queues and of what waits in its ledger."""

import pytest

from services.worker.broker import queue_stats
from services.worker.jobs import discover
from services.worker.settings import Settings
from shared.contracts import topology
from tests.support.link import Link
from tests.support.waiting import eventually
from tests.support.worker.operators import LATER, dead, order
from tests.support.worker.world import LONG_S, World, working


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_stats, "EVERY_S", 0.1)


async def gauge(world: World, name: str) -> dict[str, float]:
    """Its values by label."""
    lines = [line for line in (await world.http.get("/metrics")).text.splitlines() if line.startswith(f"{name}{{")]
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines}


@pytest.mark.full
async def test_queues_are_measured_while_rabbitmq_is_there(settings: Settings) -> None:
    """Each queue has its consumers; with RabbitMQ away there is no value, and afterwards there is one again."""
    async with Link.to(settings.rabbitmq_url) as broker:
        linked = settings.model_copy(update={"rabbitmq_url": broker.url})
        async with working(linked) as world:

            async def measured() -> bool:
                consumers, messages = [await gauge(world, f"worker_queue_{name}") for name in ("consumers", "messages")]
                return (
                    consumers.keys() == messages.keys() == {f"worker.{name}" for name in (*topology.QUEUES, "dead")}
                    and min(consumers.values()) == 1
                )

            async def unknown() -> bool:
                return not await gauge(world, "worker_queue_consumers")

            await eventually(measured, LONG_S)
            assert set((await gauge(world, "worker_in_hand")).values()) == {0}
            assert min((await gauge(world, "worker_in_hand_limit")).values()) > 0
            await broker.cut()
            await eventually(unknown, LONG_S)
            await broker.mend()
            await eventually(measured, LONG_S)


@pytest.mark.full
async def test_retrying_jobs_are_counted(alone: World) -> None:
    """Each job has its number, zero included."""
    ids = await dead(alone, 3, "Broken")
    await order(alone, "replay", event_ids=[str(event_id) for event_id in ids], delay_s=LATER)

    async def counted() -> bool:
        return (await gauge(alone, "worker_jobs_retrying")).get("email") == 3

    await eventually(counted, LONG_S)
    assert (await gauge(alone, "worker_jobs_retrying")).keys() == discover().keys()
    assert set((await gauge(alone, "worker_job_overdue_seconds")).values()) == {0}, "none is due yet"


@pytest.mark.full
async def test_scheduled_jobs_are_counted(alone: World) -> None:
    """They are neither retrying nor overdue before they are due."""
    await alone.fetch(
        "INSERT INTO jobs (job, event_id, event_type, state, next_attempt_at) "
        "SELECT 'email', gen_random_uuid(), 'order.created', 'scheduled', now() + interval '1 day' "
        "FROM generate_series(1, 3)"
    )

    async def counted() -> bool:
        return (await gauge(alone, "worker_jobs_scheduled")).get("email") == 3

    await eventually(counted, LONG_S)
    assert (await gauge(alone, "worker_jobs_scheduled")).keys() == discover().keys()
    assert set((await gauge(alone, "worker_jobs_retrying")).values()) == {0}
    assert set((await gauge(alone, "worker_job_overdue_seconds")).values()) == {0}
