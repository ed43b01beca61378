"""Worker processes that are killed, or told to stop again and again, with their hands full."""

import signal
import time
from pathlib import Path

import pytest

from services.worker.settings import Settings
from shared import events
from tests.support.backends.smtp import SmtpServer
from tests.support.waiting import eventually
from tests.support.worker.process import worker_process
from tests.support.worker.queues import drained
from tests.support.worker.world import JOBS, World, created, registered, working

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

    await eventually(done, within=90)


async def some_done(world: World, least: int) -> None:
    async def done() -> bool:
        [row] = await world.fetch("SELECT count(*) FROM jobs WHERE state = 'done'")
        return bool(row["count"] >= least)

    await eventually(done, within=60)


async def test_kill_nine_with_hundreds_of_jobs_in_hand(settings: Settings, smtp: SmtpServer, tmp_path: Path) -> None:
    """Killed twice in the midst of it, then left alone: every effect is there once, and nothing is lost."""
    world, orders = await prepared(settings, 200)
    published = await world.publish(*orders)
    ids: list[object] = list(published)
    async with worker_process(settings, tmp_path / "worker.log") as worker:
        for least in (20, 120):
            await some_done(world, least)
            assert await worker.end(signal.SIGKILL) == -signal.SIGKILL
            [row] = await world.fetch("SELECT count(*) FROM jobs WHERE event_id = ANY($1)", ids)
            assert row["count"] < len(ids) * len(JOBS) - 100, "in hand when it was killed"
            await worker.start()
        await all_done(world, ids)
    await drained(world)
    await every_effect_once(world, orders, ids)
    mails = [mail.message["Message-ID"] for mail in smtp.messages]
    assert len(set(mails)) == len(orders)
    assert len(mails) - len(orders) <= 2 * MAILS_AT_ONCE


@pytest.mark.long
async def test_ten_stops_in_a_row_under_load(settings: Settings, smtp: SmtpServer, tmp_path: Path) -> None:
    """Each ends in good order within the grace period; no healthy job dies of it, and every effect is there once."""
    world, orders = await prepared(settings, 600)
    ids: list[object] = []
    async with worker_process(settings, tmp_path / "worker.log") as worker:
        for start in range(0, len(orders), 60):
            await worker.until_ready()
            ids += await world.publish(*orders[start : start + 60])
            began = time.monotonic()
            assert await worker.end(signal.SIGTERM) == 0
            assert time.monotonic() - began < settings.shutdown_grace_s
            await worker.start()
        await all_done(world, ids)
    await drained(world)
    await every_effect_once(world, orders, ids)
    assert len({mail.message["Message-ID"] for mail in smtp.messages}) == len(smtp.messages) == len(orders)
