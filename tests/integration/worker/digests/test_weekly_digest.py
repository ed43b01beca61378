"""The weekly digest: who gets it, what it says, and that it comes once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.worker.digests import job as digests
from services.worker.digests.job import SendWeeklyDigest, last_week, totals_of
from services.worker.settings import Settings
from shared.clock import now
from shared.contracts.tasks import Tick
from shared.db.engine import Database
from shared.outbox.tasks import ConnectionTasks
from tests.support.backends.smtp import Received, SmtpServer
from tests.support.waiting import eventually
from tests.support.worker.operators import detail, run_schedule
from tests.support.worker.world import LONG_S, World, as_user, working

SOLD = """
    INSERT INTO daily_rollups (user_id, day, currency, orders, revenue, revenue_beyond) VALUES ($1, $2, $3, $4, $5, $6)
"""
NOTIFY = """
    INSERT INTO notifications (user_id, id, kind, title, body, created_at)
    VALUES ($1, gen_random_uuid(), 'order.created', 'Order received', '…', $2)
"""
JOBS = "SELECT event_id, state, last_error FROM jobs WHERE job = 'send_weekly_digest' AND user_id = ANY($1)"
TICKS = "SELECT state FROM jobs WHERE job = 'weekly_digest' AND event_type = 'task.tick'"


@pytest.fixture
def week() -> date:
    return last_week(now())


async def choose(world: World, user_id: UUID, *, digest: bool = True) -> None:
    body = {"weekly_digest": digest}
    answer = await world.http.put("/v1/me/notification-settings", json=body, headers=as_user(user_id))
    assert answer.status_code == 200


async def subscriber(world: World, week: date, *, sold: bool = True) -> UUID:
    """A user who wants digests, and who sold something last week."""
    user_id = await world.known(name="Ada <Lovelace>")
    await choose(world, user_id)
    if sold:
        await world.fetch(SOLD, user_id, week, "EUR", 2, 4350, 0)
    return user_id


def digests_to(server: SmtpServer, user_id: UUID) -> list[Received]:
    sent = [mail for mail in server.messages if mail.recipients == (f"{user_id.hex}@example.com",)]
    return [mail for mail in sent if mail.message["Subject"].startswith("Your week")]


async def tasks_of(world: World, user_ids: Sequence[UUID]) -> list[Any]:
    return await world.fetch(JOBS, list(user_ids))


async def run(world: World, user_ids: Sequence[UUID], count: int = 1) -> list[Any]:
    """Run the schedule, and wait until each of these users has so many tasks that have ended."""
    await run_schedule(world, "weekly_digest")
    ended = ("done", "suppressed", "dead")

    async def over() -> bool:
        return sum(row["state"] in ended for row in await tasks_of(world, user_ids)) >= count * len(user_ids)

    await eventually(over, LONG_S)
    return await tasks_of(world, user_ids)


async def ticks_ran(world: World, count: int) -> None:
    async def ran() -> bool:
        return [row["state"] for row in await world.fetch(TICKS)] == ["done"] * count

    await eventually(ran, LONG_S)


async def test_last_weeks_totals(world: World, post_office: SmtpServer, week: date) -> None:
    """In text and HTML, by currency, with what happened from Monday to Sunday and nothing of the days around it."""
    user_id = await subscriber(world, week, sold=False)
    sunday = week + timedelta(days=6)
    for day, currency, orders, revenue in (
        (week - timedelta(days=1), "EUR", 50, 5000),
        (week, "EUR", 2, 100_000),
        (sunday, "EUR", 1, 23_456),
        (sunday, "JPY", 4, 9800),
        (sunday, "USD", 1, -300),  # cancelled before its creation was counted
        (sunday + timedelta(days=1), "EUR", 70, 7000),
    ):
        await world.fetch(SOLD, user_id, day, currency, orders, revenue, 0)
    midnight = datetime.combine(week, time(), UTC)
    for moment in (
        midnight - timedelta(seconds=1),
        midnight,
        midnight + timedelta(days=7, seconds=-1),
        midnight + timedelta(days=7),
    ):
        await world.fetch(NOTIFY, user_id, moment)
    [task] = await run(world, [user_id])
    assert task["state"] == "done"
    [mail] = digests_to(post_office, user_id)
    assert mail.message["Subject"] == f"Your week from {digests.days_of(week)}"
    assert mail.message["List-Unsubscribe"]
    text, html = (part.get_content() for part in mail.message.iter_parts())
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "Hello Ada <Lovelace>,"
    assert lines[4:8] == ["Orders: 8", "Revenue: 1,234.56 EUR", "Revenue: 9,800 JPY", "Notifications: 2"]
    assert "Hello Ada &lt;Lovelace&gt;," in html
    assert all(f"<strong>{value}</strong>" in html for value in ("8", "1,234.56 EUR", "9,800 JPY", "2"))


async def test_sums_beyond_a_bigint(world: World, week: date) -> None:
    """They are exact."""
    user_id = uuid4()
    await world.fetch(SOLD, user_id, week, "EUR", 1, 9 * 10**18, 10**20 + 1)
    async with Database.open(world.settings) as db, db.connection() as connection:
        totals = await totals_of(connection, user_id, week)
    assert totals.revenue == ["1,090,000,000,000,000,000.01 EUR"]


async def test_who_gets_one(world: World, post_office: SmtpServer, week: date) -> None:
    """Those who want it and have something to report; others have no mail, or not even a task."""
    reader, idle = await subscriber(world, week), await subscriber(world, week, sold=False)
    never, before = await world.known(), await subscriber(world, week)
    await world.fetch(SOLD, never, week, "EUR", 1, 100, 0)
    await choose(world, before, digest=False)
    tasks = await run(world, [reader, idle])
    assert [row["state"] for row in tasks] == ["done", "done"]
    assert len(digests_to(post_office, reader)) == 1
    assert digests_to(post_office, idle) == []
    assert await tasks_of(world, [never, before]) == []


async def test_one_who_has_just_switched_it_off(world: World, post_office: SmtpServer, week: date) -> None:
    """A task that was added before is suppressed."""
    user_id = await subscriber(world, week)
    await choose(world, user_id, digest=False)
    [event_id] = await world.publish(SendWeeklyDigest(user_id=user_id, week=week))
    await world.until(event_id, send_weekly_digest="suppressed")
    assert (
        "switched off mails of the kind weekly_digest" in (await detail(world, "send_weekly_digest", event_id))["error"]
    )
    assert digests_to(post_office, user_id) == []


async def test_a_deleted_person(world: World, week: date) -> None:
    """Their task is done without a mail, and nothing about them is stored."""
    user_id = uuid4()
    await world.fetch("INSERT INTO recipients (user_id, revision) VALUES ($1, 9)", user_id)
    [event_id] = await world.publish(SendWeeklyDigest(user_id=user_id, week=week))
    await world.until(event_id, send_weekly_digest="done")
    assert await world.fetch("SELECT FROM weekly_digests WHERE user_id = $1", user_id) == []


async def test_once_however_often_it_runs(world: World, post_office: SmtpServer, week: date) -> None:
    """A second run of the schedule in the same week adds tasks that end as suppressed, with the reason."""
    user_id = await subscriber(world, week)
    await run(world, [user_id])
    tasks = await run(world, [user_id], 2)
    assert sorted(row["state"] for row in tasks) == ["done", "suppressed"]
    [reason] = [row["last_error"] for row in tasks if row["state"] == "suppressed"]
    assert reason == f"another task has the digest of {week} or of a later week"
    assert len(digests_to(post_office, user_id)) == 1


async def test_an_older_week_comes_too_late(world: World, post_office: SmtpServer, week: date) -> None:
    """A task of an older week, which was retried for long, does not follow that of a newer one."""
    user_id = await subscriber(world, week)
    await run(world, [user_id])
    older = SendWeeklyDigest(user_id=user_id, week=week - timedelta(days=7))
    newer = SendWeeklyDigest(user_id=user_id, week=week + timedelta(days=7))
    await world.fetch(SOLD, user_id, newer.week, "EUR", 1, 100, 0)
    [late, early] = await world.publish(older, newer)
    await world.until(late, send_weekly_digest="suppressed")
    await world.until(early, send_weekly_digest="done")
    assert len(digests_to(post_office, user_id)) == 2


@pytest.fixture
async def two(settings: Settings) -> AsyncIterator[tuple[World, World]]:
    async with working(settings) as one, working(settings) as other:
        await one.until_ready()
        await other.until_ready()
        yield one, other


@pytest.mark.full
async def test_two_workers(two: tuple[World, World], smtp: SmtpServer, week: date) -> None:
    """A tick that both see due, and two runs that are requested of both at once, make one mail for each person."""
    one, other = two
    users = [await subscriber(one, week) for _ in range(6)]
    await run_schedule(one, "weekly_digest")  # both have stored the schedule
    await one.fetch("UPDATE schedules SET next_run = now() WHERE name = 'weekly_digest'")
    await asyncio.gather(run_schedule(one, "weekly_digest"), run_schedule(other, "weekly_digest"))
    await ticks_ran(one, 4)

    async def ended() -> bool:
        tasks = await tasks_of(one, users)
        waiting = await one.fetch("SELECT FROM outbox")
        return not waiting and len(tasks) == 24 and {row["state"] for row in tasks} == {"done", "suppressed"}

    await eventually(ended, LONG_S)
    assert sorted(mail.recipients[0] for mail in smtp.messages) == sorted(f"{user.hex}@example.com" for user in users)


@pytest.mark.full
async def test_a_mail_that_is_tried_again(alone: World, smtp: SmtpServer, week: date) -> None:
    """The task that failed sends it; another run of the schedule meanwhile does not."""
    user_id = await subscriber(alone, week)
    smtp.manner = "defer"
    await run_schedule(alone, "weekly_digest")

    async def failed() -> bool:
        return any(row["last_error"] for row in await tasks_of(alone, [user_id]))

    await eventually(failed, LONG_S)
    await run_schedule(alone, "weekly_digest")

    async def suppressed() -> bool:
        return "suppressed" in {row["state"] for row in await tasks_of(alone, [user_id])}

    await eventually(suppressed, LONG_S)
    smtp.manner = "accept"
    await alone.fetch("UPDATE jobs SET next_attempt_at = now() WHERE state = 'retrying'")

    async def sent() -> bool:
        return {row["state"] for row in await tasks_of(alone, [user_id])} == {"done", "suppressed"}

    await eventually(sent, LONG_S)
    assert len(digests_to(smtp, user_id)) == 1


@pytest.mark.full
async def test_a_fan_out_that_fails_half_way(
    alone: World, smtp: SmtpServer, week: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves no task, and its second attempt adds one for each person, also over many pages."""
    users = [await subscriber(alone, week) for _ in range(5)]
    monkeypatch.setattr(digests, "PAGE", 2)
    flushed: list[int] = []
    flush = ConnectionTasks.flush

    async def failing(self: ConnectionTasks, connection: Any) -> None:
        await flush(self, connection)
        flushed.append(len(await connection.fetch("SELECT FROM outbox")))
        if len(flushed) == 2:
            raise ConnectionError("the database went away")

    monkeypatch.setattr(ConnectionTasks, "flush", failing)
    await run(alone, users)
    assert flushed[:2] == [2, 4]
    assert await alone.fetch("SELECT FROM jobs WHERE job = 'weekly_digest' AND attempts = 2 AND state = 'done'")
    assert len(await tasks_of(alone, users)) == len(users)
    assert len(smtp.messages) == len(users)


async def test_the_schedule(world: World) -> None:
    """Mondays at seven in Berlin, whatever the time of the year; a missed tick runs once."""
    [schedule] = [
        each
        for each in (
            await world.http.get("/v1/admin/schedules", headers=as_user(uuid4()) | {"X-User-Role": "support"})
        ).json()["items"]
        if each["name"] == "weekly_digest"
    ]
    assert (schedule["cron"], schedule["timezone"]) == ("0 7 * * 1", "Europe/Berlin")
    next_run = datetime.fromisoformat(schedule["next_run"])
    assert (next_run.weekday(), next_run.minute) == (0, 0)
    assert next_run.hour in (5, 6)
    declared = world.app.state.jobs["weekly_digest"].schedule
    assert declared.missed == "once"


async def test_a_late_tick_reports_the_last_week(world: World, week: date) -> None:
    """Not the week before a tick that was due long ago."""
    user_id = await subscriber(world, week)
    long_ago = Tick(schedule="weekly_digest", at=now() - timedelta(days=30))
    async with Database.open(world.settings) as db, db.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await digests.weekly_digest(long_ago, connection, ConnectionTasks())
        rows = await connection.fetch("SELECT payload FROM outbox WHERE user_id = $1", user_id)
        await transaction.rollback()
    assert [str(week) in row["payload"] for row in rows] == [True]
