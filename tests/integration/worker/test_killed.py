"""Worker processes that are killed, or told to stop again and again, with their hands full."""

import signal
import time
from pathlib import Path

import pytest

from services.worker.settings import Settings
from shared.contracts import events
from tests.support.backends.smtp import SmtpServer
from tests.support.waiting import eventually
from tests.support.worker.process import worker_process
from tests.support.worker.queues import drained
from tests.support.worker.world import JOBS, LONG_S, World, created, end_leases, registered, working

MAILS_AT_ONCE = 4
"""Each may be between the server's 250 and the commit when the process is killed: that one is sent again."""


async def prepared(settings: Settings, count: int) -> tuple[World, list[events.OrderCreated]]:
    """A known user, and a world to look at the tables without a worker."""
    async with working(settings) as world:
        await world.until_ready()
        user = registered()
        await world.until((await world.publish(user))[0], recipients="done", notifications="done")
    return world, [created(user.user_id, total=100) for _ in range(count)]


async def every_effect_once(world: World, orders: list[events.OrderCreated], ids: list[object]) -> None:
    rows = await world.fetch("SELECT job, state, count(*) FROM jobs WHERE event_id = ANY($1) GROUP BY 1, 2", ids)
    assert {tuple(row) for row in rows} == {(job, "done", len(orders)) for job in JOBS}
    user_id = orders[0].user_id
    [rollup] = await world.fetch("SELECT orders FROM user_rollups WHERE user_id = $1", user_id)
    assert rollup["orders"] == len(orders)
    [told] = await world.fetch(
        "SELECT count(*) FROM notifications WHERE user_id = $1 AND kind = 'order.created'", user_id
    )
    assert told["count"] == len(orders)


async def all_done(world: World, ids: list[object]) -> None:
    async def done() -> bool:
        [row] = await world.fetch("SELECT count(*) FROM jobs WHERE event_id = ANY($1) AND state = 'done'", ids)
        return bool(row["count"] == len(ids) * len(JOBS))

    await eventually(done, LONG_S)


async def begun(world: World, smtp: SmtpServer, connections: int) -> None:
    """As many mails are on their way as there may be, other jobs are done."""

    async def done() -> bool:
        [row] = await world.fetch("SELECT count(*) FROM jobs WHERE state = 'done' AND event_type = 'order.created'")
        return smtp.connections >= connections and len(smtp.conversations) == MAILS_AT_ONCE and row["count"] > 0

    await eventually(done, LONG_S)


@pytest.mark.full
async def test_kill_nine_with_many_jobs_in_hand(settings: Settings, smtp: SmtpServer, tmp_path: Path) -> None:
    """Killed twice in the midst of it, then left alone: every effect is there once, and nothing is lost."""
    world, orders = await prepared(settings, 60)
    smtp.manner = "hold"
    before = smtp.connections
    ids: list[object] = list(await world.publish(*orders))
    async with worker_process(settings, tmp_path / "worker.log") as worker:
        for time_of_death in (1, 2):
            await begun(world, smtp, before + time_of_death * MAILS_AT_ONCE)
            assert await worker.end(signal.SIGKILL) == -signal.SIGKILL
            [row] = await world.fetch(
                "SELECT count(*) FROM jobs WHERE event_id = ANY($1) AND job = 'email' AND state = 'done'", ids
            )
            assert row["count"] == 0, "all mails were still to be sent when it was killed"
            await end_leases(settings)
            if time_of_death == 1:
                await worker.start()
    smtp.manner = "accept"
    async with working(settings):
        await all_done(world, ids)
    await drained(world)
    await every_effect_once(world, orders, ids)
    mails = [mail.message["Message-ID"] for mail in smtp.messages]
    assert len(set(mails)) == len(orders)
    assert len(mails) - len(orders) <= 2 * MAILS_AT_ONCE


@pytest.mark.long
async def test_ten_stops_in_a_row_under_load(settings: Settings, smtp: SmtpServer, tmp_path: Path) -> None:
    """Each ends in good order within the grace period; no healthy job dies of it, and every effect is there once."""
    unhurried = settings.model_copy(update={"shutdown_grace_s": 2 * LONG_S})
    world, orders = await prepared(settings, 600)
    ids: list[object] = []
    async with worker_process(unhurried, tmp_path / "worker.log") as worker:
        for start in range(0, len(orders), 60):
            await worker.until_ready()
            ids += await world.publish(*orders[start : start + 60])
            began = time.monotonic()
            assert await worker.end(signal.SIGTERM) == 0
            assert time.monotonic() - began < unhurried.shutdown_grace_s, "it did not wait for the grace period"
            await worker.start()
        await all_done(world, ids)
    await drained(world)
    await every_effect_once(world, orders, ids)
    assert len({mail.message["Message-ID"] for mail in smtp.messages}) == len(smtp.messages) == len(orders)
