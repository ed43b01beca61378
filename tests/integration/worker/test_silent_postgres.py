"""Postgres goes quiet: connections stay open, or open, and nothing comes back."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from services.worker.settings import Settings
from tests.support.backends import RabbitBackend
from tests.support.backends.smtp import SmtpServer
from tests.support.link import Link
from tests.support.waiting import eventually
from tests.support.worker.queues import consumers_of, drained, ready_messages
from tests.support.worker.world import World, created, working


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Link]:
    async with Link.to(settings.database_url) as link:
        yield link


@pytest.mark.parametrize("outage", ["cut", "black hole"])
async def test_messages_go_back_once_and_wait_in_the_queue(
    settings: Settings, database: Link, rabbitmq: RabbitBackend, smtp: SmtpServer, outage: str
) -> None:
    """After the hold everything is back in its queue, nothing is taken until the ledger can be written again, and an
    outage far longer than the delivery limit's worth of holds leaves no message dead."""
    vhost = settings.rabbitmq_url.rpartition("/")[2]
    policy = '{"delivery-limit": 2}'
    await asyncio.to_thread(
        rabbitmq.rabbitmqctl, "set_policy", "-p", vhost, "short", r"^worker\.", policy, "--apply-to", "queues"
    )
    impatient = {"database_url": database.url, "hold_s": 0.5, "watch_interval_s": 0.1}
    async with working(settings.model_copy(update=impatient)) as cut_off:
        await cut_off.until_ready()
        world = World(cut_off.app, settings, cut_off.http)
        user_id = await world.known()
        if outage == "cut":
            await database.cut()
        else:
            database.black_hole()
        ids = await world.publish(*(created(user_id, total=100) for _ in range(40)))

        async def all_back() -> bool:
            return await consumers_of(settings, "worker.analytics") == 0

        await eventually(all_back, within=90)

        async def all_ready() -> bool:
            return (
                await ready_messages(settings, "worker.email")
                == await ready_messages(settings, "worker.analytics")
                == 40
            )

        await eventually(all_ready)
        assert "waiting for the ledger" in (await world.ready()).json()["checks"]["rabbitmq"]
        assert (await world.http.get("/livez")).status_code == 200
        await asyncio.sleep(5 * 0.5)  # five more holds: what is not taken cannot go back
        await database.cut()
        await database.mend()
        for event_id in ids:
            await world.until(event_id, analytics="done", email="done", notifications="done", within=60)
        await drained(world)
        assert len(smtp.messages) == 40


async def test_a_black_hole_does_not_delay_the_shutdown(settings: Settings, database: Link) -> None:
    """With work in hand that waits for a silent Postgres, the end of the grace period is the end."""
    cut_off = settings.model_copy(update={"database_url": database.url, "shutdown_grace_s": 1})
    async with working(cut_off) as world:
        await world.until_ready()
        database.black_hole()
        direct = World(world.app, settings, world.http)
        await direct.publish(*(created(uuid4(), mail=False) for _ in range(20)))

        async def in_hand() -> bool:
            return await ready_messages(settings, "worker.analytics") == 0

        await eventually(in_hand)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 12
