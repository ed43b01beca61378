"""A worker that stops under load, and one that is cut off in the midst of its work."""

import asyncio

import pytest

from services.worker.settings import Settings
from tests.support.backends.smtp import SmtpServer
from tests.support.waiting import eventually
from tests.support.worker.queues import drained
from tests.support.worker.world import JOBS, LONG_S, created, working

ORDERS = 100


@pytest.mark.full
async def test_stopping_under_load_loses_nothing(settings: Settings, smtp: SmtpServer) -> None:
    """Workers that start and stop while messages flow do each job once between them."""
    async with working(settings) as world:
        await world.until_ready()
        user_id = await world.known()
    orders = [created(user_id, total=100) for _ in range(ORDERS)]
    publishing = asyncio.create_task(world.publish(*orders))
    for _ in range(3):
        async with working(settings) as world:
            await world.until_ready()
    ids = await publishing
    async with working(settings) as world:
        await world.until_ready()
        await world.until_all(ids, LONG_S, **dict.fromkeys(JOBS, "done"))
        await drained(world)
        states = await world.fetch("SELECT job, state, count(*) FROM jobs WHERE event_id = ANY($1) GROUP BY 1, 2", ids)
        assert {tuple(row) for row in states} == {(job, "done", ORDERS) for job in JOBS}
        assert (await world.panel("analytics", user_id))[str(user_id)]["orders"] == ORDERS
        assert len({mail.message["Message-ID"] for mail in smtp.messages}) == len(smtp.messages) == ORDERS


@pytest.mark.full
async def test_what_outlives_the_grace_period_comes_again(settings: Settings, smtp: SmtpServer) -> None:
    """A mail that is not answered by the end of the grace period is uncertain, and sent by the next worker."""

    async def attempted() -> bool:
        return smtp.attempts > 0

    async with working(settings.model_copy(update={"shutdown_grace_s": 0.3})) as world:
        await world.until_ready()
        user_id = await world.known()
        smtp.manner = "hang"
        [event_id] = await world.publish(created(user_id))
        await eventually(attempted, LONG_S)
    assert (await world.jobs(event_id))["email"] == "retrying"
    assert ((mail := await world.mail(event_id))["state"], mail["lease_until"]) == ("uncertain", None)
    smtp.manner = "accept"
    async with working(settings) as world:
        await world.until(event_id, email="done")
    assert len(smtp.messages) == 1
