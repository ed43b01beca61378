"""One event, one mail: whatever happens around its sending."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from services.worker.settings import Settings
from shared.clock import now
from shared.contracts.events import UserDeleted
from shared.ids import new_id
from shared.server.background import Background
from tests.support.backends.smtp import SmtpServer
from tests.support.link import Link
from tests.support.waiting import eventually
from tests.support.worker.process import worker_process
from tests.support.worker.queues import drained
from tests.support.worker.world import LONG_S, World, created, end_leases, working


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Link]:
    async with Link.to(settings.database_url) as link:
        yield link


async def until_answered(smtp: SmtpServer) -> None:
    async def answered() -> bool:
        return smtp.answered == 1

    await eventually(answered, LONG_S)


async def until_mails(smtp: SmtpServer, count: int) -> None:
    async def arrived() -> bool:
        return len(smtp.messages) >= count

    await eventually(arrived, LONG_S)


async def until_in_hand(world: World, event_id: UUID) -> None:
    async def in_hand() -> bool:
        return "sending" in [
            r["state"] for r in await world.fetch("SELECT state FROM mails WHERE event_id = $1", event_id)
        ]

    await eventually(in_hand, LONG_S)


async def test_a_mail_and_its_record(alone: World, smtp: SmtpServer) -> None:
    """What was sent is kept with its Message-ID, and the last words of the server."""
    user_id = await alone.known()
    [event_id] = await alone.publish(created(user_id))
    await alone.until(event_id, email="done")
    mail = await alone.mail(event_id)
    assert (mail["user_id"], mail["recipient"]) == (user_id, f"{user_id.hex}@example.com")
    assert (mail["state"], mail["attempts"], mail["lease_until"]) == ("sent", 1, None)
    assert mail["server_reply"] == "250 OK"
    assert mail["message_id"] == smtp.messages[0].message_id


async def test_a_duplicate_after_it_was_sent(alone: World, smtp: SmtpServer) -> None:
    """Neither a second delivery nor a job that is due again although its mail was sent sends another."""
    order = created(await alone.known())
    [event_id] = await alone.publish(order)
    await alone.until(event_id, email="done")
    await alone.publish(order, event_id=event_id)
    await drained(alone)
    await alone.fetch("DELETE FROM jobs WHERE job = 'email' AND event_id = $1", event_id)
    await alone.publish(order, event_id=event_id)
    await alone.until(event_id, email="done")
    assert len(smtp.messages) == 1


@pytest.mark.full
async def test_two_workers_at_once(settings: Settings, smtp: SmtpServer) -> None:
    """While one worker sends, another that gets the event, or finds its job due, leaves it alone."""
    async with working(settings) as one, working(settings) as two:
        await one.until_ready()
        await two.until_ready()
        smtp.manner = "hold"
        order = created(await one.known())
        event_id = new_id()
        await one.publish(*[order] * 6, event_id=event_id)
        await until_mails(smtp, 1)
        await one.fetch("UPDATE jobs SET next_attempt_at = now() WHERE job = 'email' AND event_id = $1", event_id)
        failed = await one.until_failed("email", event_id)
        assert failed["last_error"].startswith("MailInHand")
        smtp.manner = "accept"
        await one.until(event_id, email="done")
        assert ((mail := await one.mail(event_id))["state"], mail["attempts"]) == ("sent", 1)
    assert len(smtp.messages) == 1


async def test_killed_between_the_answer_and_the_commit(
    settings: Settings, smtp: SmtpServer, database: Link, tmp_path: Path
) -> None:
    """A mail whose worker is killed before it could record the 250 is sent once more, with the same Message-ID."""
    async with working(settings) as world:
        order = created(await world.known())
    smtp.manner = "hold"
    doomed = settings.model_copy(update={"database_url": database.url})
    async with worker_process(doomed, tmp_path / "worker.log") as process:
        [event_id] = await world.publish(order)
        await until_mails(smtp, 1)
        await database.cut()
        smtp.manner = "accept"
        await until_answered(smtp)
        await process.end(signal.SIGKILL)
    mail = await world.mail(event_id)
    assert (mail["state"], mail["attempts"]) == ("sending", 1)
    await end_leases(settings)
    async with working(settings) as world:
        await world.until(event_id, email="done")
        mail = await world.mail(event_id)
        assert (mail["state"], mail["attempts"], mail["uncertain_attempts"]) == ("sent", 2, 1)
        assert 'worker_mails_total{verdict="uncertain"}' in (await world.http.get("/metrics")).text
    assert [received.message_id for received in smtp.messages] == [mail["message_id"]] * 2


@pytest.mark.full
async def test_killed_before_anything_was_sent(settings: Settings, smtp: SmtpServer, tmp_path: Path) -> None:
    """A mail that was claimed by a worker that is no more is sent by the next, once the lease has run out."""
    async with working(settings) as world:
        order = created(await world.known())
    smtp.greets = False
    async with worker_process(settings, tmp_path / "worker.log") as process:
        [event_id] = await world.publish(order)
        await until_in_hand(world, event_id)
        await process.end(signal.SIGKILL)
    await end_leases(settings)
    smtp.greets = True
    async with working(settings) as world:
        await world.until(event_id, email="done")
    assert len(smtp.messages) == 1


@pytest.mark.full
async def test_the_database_away_when_the_server_answers(settings: Settings, smtp: SmtpServer, database: Link) -> None:
    """A worker that knows its mail was sent records that as soon as it can: no second mail."""
    async with working(settings.model_copy(update={"database_url": database.url})) as cut_off:
        world = World(cut_off.app, settings, cut_off.http)
        order = created(await world.known())
        smtp.manner = "hold"
        [event_id] = await world.publish(order)
        await until_mails(smtp, 1)
        await database.cut()
        smtp.manner = "accept"
        await until_answered(smtp)
        await database.mend()
        await world.until(event_id, email="done")
        mail = await world.mail(event_id)
        assert (mail["state"], mail["attempts"], mail["uncertain_attempts"]) == ("sent", 1, 0)
    assert len(smtp.messages) == 1


@pytest.mark.full
async def test_mails_under_way_hold_no_database_connection(settings: Settings, smtp: SmtpServer) -> None:
    """However long a mail server thinks, the other jobs and the panels have the database for themselves."""
    async with working(settings.model_copy(update={"smtp_connections": 8, "pool_size": 3})) as world:
        user_id = await world.known()
        smtp.manner = "hold"
        ids = await world.publish(*(created(user_id) for _ in range(8)))
        await until_mails(smtp, 8)
        await world.until_all(ids, analytics="done", notifications="done")
        assert (await world.panel("analytics", user_id))[str(user_id)]["orders"] == 8
        smtp.manner = "accept"
        await world.until_all(ids, email="done")
    assert len(smtp.messages) == 8


@pytest.mark.full
async def test_a_recipient_deleted_before_the_mail_goes_out(settings: Settings, smtp: SmtpServer) -> None:
    """Whoever is deleted after their mail was claimed, and before the server was greeted, gets none."""
    smtp.greets = False
    async with working(settings) as world:
        user_id = await world.known()
        [event_id] = await world.publish(created(user_id))
        await until_in_hand(world, event_id)
        await deleted(world, user_id)
        smtp.greets = True
        await world.until(event_id, email="done")

        async def withdrawn() -> bool:
            return bool((await world.mail(event_id))["state"] == "withdrawn")

        await eventually(withdrawn)
        assert (await world.mail(event_id))["recipient"] is None
    assert smtp.messages == []


@pytest.mark.full
async def test_a_deleted_user_leaves_no_address(alone: World, smtp: SmtpServer) -> None:
    """What was sent stays on record without the address; what waits for a better moment is withdrawn."""
    user_id = await alone.known()
    [sent] = await alone.publish(created(user_id))
    await alone.until(sent, email="done")
    smtp.manner = "defer"
    [waiting] = await alone.publish(created(user_id))
    await alone.until_failed("email", waiting)
    await deleted(alone, user_id)
    await alone.until(waiting, email="done")
    assert ((mail := await alone.mail(sent))["state"], mail["recipient"]) == ("sent", None)

    async def withdrawn() -> bool:
        """Later, if it was being sent when the user was deleted."""
        return bool((await alone.mail(waiting))["state"] == "withdrawn")

    await eventually(withdrawn)
    assert (await alone.mail(waiting))["recipient"] is None
    left = await alone.fetch("SELECT mails::text AS kept FROM mails")
    assert not any(user_id.hex in row["kept"] for row in left)


async def deleted(world: World, user_id: UUID) -> None:
    [event_id] = await world.publish(UserDeleted(user_id=user_id, revision=2, deleted_at=now()))
    await world.until(event_id, recipients="done")


@pytest.mark.full
async def test_stopping_waits_for_the_answer(
    settings: Settings, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is told to stop gives a mail under way its grace period, also one that is tried again."""
    monkeypatch.setattr(Background, "CANCEL_AGAIN_S", 0.05)
    async with working(settings.model_copy(update={"shutdown_grace_s": LONG_S})) as world:
        user_id = await world.known()
        smtp.manner = "defer"
        [again] = await world.publish(created(user_id))
        await world.until_failed("email", again)
        smtp.manner = "hold"
        [new] = await world.publish(created(user_id))
        await until_mails(smtp, 2)
        asyncio.get_running_loop().call_later(0.5, setattr, smtp, "manner", "accept")
    mails = [await world.mail(event_id) for event_id in (again, new)]
    assert [(mail["state"], mail["uncertain_attempts"]) for mail in mails] == [("sent", 0), ("sent", 0)]
