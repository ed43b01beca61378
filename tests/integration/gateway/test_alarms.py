"""The gateway during a memory alarm of RabbitMQ: no change of a panel is announced."""

from functools import partial

import pytest

from shared.observability import probes
from tests.support.alarms import alarm
from tests.support.backends import RabbitBackend
from tests.support.gateway.world import Start, World
from tests.support.waiting import eventually


async def says(world: World, status: str, of_rabbitmq: str) -> bool:
    ready, said = await probes.readiness(world.app.state.checks)
    return ready and said["status"] == status and of_rabbitmq in said["checks"]["rabbitmq"]


@pytest.mark.full
async def test_a_memory_alarm_degrades(start: Start, rabbitmq: RabbitBackend) -> None:
    """The gateway degrades for an alarm that starts while it runs, and for one that exists at its start; afterwards it
    recovers by itself."""
    is_ready = partial(says, status="ready", of_rabbitmq="ok")
    is_blocked = partial(says, status="degraded", of_rabbitmq="accepts no messages")
    async with start(rabbitmq_url=rabbitmq.url) as world:
        await eventually(partial(is_ready, world), 120)
        async with alarm(rabbitmq):
            await eventually(partial(is_blocked, world), 120)
            assert (await world.client.get("/v1/dashboard", headers=world.bearer())).status_code == 200
            async with start(rabbitmq_url=rabbitmq.url) as late:
                await eventually(partial(is_blocked, late), 120)
        await eventually(partial(is_ready, world), 120)
