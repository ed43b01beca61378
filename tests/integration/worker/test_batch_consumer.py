"""The queue that aio-pika consumes beside FastStream."""

from uuid import uuid4

import pytest

from services.worker.settings import Settings
from tests.support.link import Link
from tests.support.worker.queues import drained
from tests.support.worker.world import World, created, working


@pytest.mark.full
async def test_what_was_in_hand_when_the_connection_went_is_folded_once(settings: Settings) -> None:
    """Whether it was acknowledged or comes again by another channel: each event counts once, and none stays behind."""
    user_id = uuid4()
    async with (
        Link.to(settings.rabbitmq_url) as broker,
        working(settings.model_copy(update={"rabbitmq_url": broker.url})) as cut_off,
    ):
        await cut_off.until_ready()
        world = World(cut_off.app, settings, cut_off.http)
        ids = await world.publish(*(created(user_id, total=100, mail=False) for _ in range(300)))
        await broker.cut()
        await broker.mend()
        await world.until_all(ids, analytics="done")
        await world.until_ready()
        await drained(world, "worker.analytics")
        assert (await world.panel("analytics", user_id))[str(user_id)]["orders"] == 300
