"""The limit of mails to one recipient: more are delayed, and none is dropped."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.worker.settings import Settings
from shared.clock import now
from shared.contracts.tasks import SendSecurityNotice
from tests.support.backends.smtp import SmtpServer
from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S, World, created, working

HOUR = timedelta(hours=1)


@pytest.fixture
def limited(settings: Settings) -> Settings:
    return settings.model_copy(update={"mail_limit": "3/hour"})


async def states(world: World, ids: list[Any]) -> list[str]:
    rows = await world.fetch("SELECT state FROM jobs WHERE job = 'email' AND event_id = ANY($1)", ids)
    return sorted(row["state"] for row in rows)


async def until(world: World, ids: list[Any], *wanted: str) -> None:
    async def reached() -> bool:
        return await states(world, ids) == sorted(wanted)

    await eventually(reached, LONG_S)


async def let_an_hour_pass(world: World) -> None:
    await world.fetch("""
        UPDATE mails SET created_at = created_at - interval '1 hour', send_after = send_after - interval '1 hour'
    """)
    await world.fetch("""
        UPDATE jobs SET next_attempt_at = next_attempt_at - interval '1 hour'
        WHERE state = 'scheduled' AND job = 'email'
    """)


async def test_mails_beyond_the_limit_are_sent_later(limited: Settings, smtp: SmtpServer) -> None:
    """Of eight at once, three are sent, three an hour later, and two after another hour. Each waits once, for its own
    place. Others' mails are not affected."""
    async with working(limited) as world:
        user_id, other = await world.known(), await world.known()
        ids = await world.publish(*(created(user_id) for _ in range(8)))
        await until(world, ids, *["done"] * 3, *["scheduled"] * 5)
        waiting = await world.fetch("SELECT * FROM jobs WHERE job = 'email' AND state = 'scheduled' ORDER BY 1")
        assert {row["attempts"] for row in waiting} == {0}
        places = sorted(row["next_attempt_at"] - now() for row in waiting)
        assert all(HOUR - timedelta(seconds=LONG_S) < place <= HOUR for place in places[:3])
        assert all(2 * HOUR - timedelta(seconds=LONG_S) < place <= 2 * HOUR for place in places[3:])
        [event_id] = await world.publish(created(other))
        await world.until(event_id, email="done")
        for sent in (6, 8):
            await let_an_hour_pass(world)
            await until(world, ids, *["done"] * sent, *["scheduled"] * (8 - sent))
        log = await world.fetch("SELECT count(*) FROM job_attempts WHERE job = 'email' AND event_id = ANY($1)", ids)
        assert log[0][0] == 8
    recipients = [mail.recipients[0] for mail in smtp.messages]
    assert recipients.count(f"{user_id.hex}@example.com") == 8


@pytest.mark.full
async def test_two_workers_together_keep_the_limit(limited: Settings, smtp: SmtpServer) -> None:
    async with working(limited) as one, working(limited) as other:
        user_id = await one.known()
        batches = await asyncio.gather(
            *(world.publish(*(created(user_id) for _ in range(6))) for world in (one, other))
        )
        ids = [event_id for batch in batches for event_id in batch]
        await until(one, ids, *["done"] * 3, *["scheduled"] * 9)
    assert len(smtp.messages) == 3


@pytest.mark.full
async def test_a_mail_in_its_place_is_not_sent_before_it(limited: Settings, smtp: SmtpServer) -> None:
    """Neither after a restart, nor if an operator runs it now: it is postponed to the same place."""
    async with working(limited) as world:
        user_id = await world.known()
        ids = await world.publish(*(created(user_id) for _ in range(4)))
        await until(world, ids, *["done"] * 3, "scheduled")
    find = "SELECT next_attempt_at FROM jobs WHERE job = 'email' AND state = 'scheduled'"
    async with working(limited) as world:
        [[place]] = await world.fetch(find)
        await world.fetch("UPDATE jobs SET next_attempt_at = now() WHERE job = 'email' AND state = 'scheduled'")

        async def is_back() -> bool:
            return [row[0] for row in await world.fetch(find)] == [place]

        await eventually(is_back, LONG_S)
    assert len(smtp.messages) == 3


@pytest.mark.full
async def test_notices_are_not_delayed(limited: Settings, smtp: SmtpServer) -> None:
    """Who floods an address with orders does not delay the notice of a changed password."""
    async with working(limited) as world:
        user_id = await world.known()
        ids = await world.publish(*(created(user_id) for _ in range(4)))
        await until(world, ids, *["done"] * 3, "scheduled")
        email = f"{user_id.hex}@example.com"
        notice = SendSecurityNotice(user_id=user_id, email=email, notice="password_changed", at=now())
        [event_id] = await world.publish(notice)
        await world.until(event_id, LONG_S, **{"account-email": "done"})
    assert len(smtp.messages) == 4


@pytest.mark.full
async def test_without_a_limit_all_are_sent(alone: World, smtp: SmtpServer) -> None:
    user_id = await alone.known()
    ids = await alone.publish(*(created(user_id) for _ in range(20)))
    await alone.until_all(ids, email="done")
    assert len(smtp.messages) == 20
