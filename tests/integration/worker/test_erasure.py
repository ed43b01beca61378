"""A deleted user: what was kept of them goes, and what comes later leaves nothing."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from services.worker.ledger.erasure import erased
from services.worker.settings import Settings
from shared.clock import now
from shared.contracts import events, topology
from shared.db.engine import Database
from shared.ids import new_id
from tests.support.backends.smtp import SmtpServer
from tests.support.metrics import sample
from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S, World, changed, created, deletion, message_of, registered


async def deleted(world: World, user_id: UUID, **more: Any) -> None:
    [event_id] = await world.publish(deletion(user_id, **more))
    await world.until(event_id, recipients="done")


async def kept_of(world: World, user_id: UUID) -> list[Any]:
    """The rows of the ledger that still hold something of the user."""
    return await world.fetch(
        "SELECT job, state FROM jobs WHERE user_id = $1"
        " AND (payload IS NOT NULL OR headers IS NOT NULL OR last_error IS NOT NULL)",
        user_id,
    )


def attempts_ended() -> float:
    """Of mails, in this process."""
    outcomes = ("done", "retrying", "dead", "duplicate")
    labels = ({"job": "email", "outcome": outcome} for outcome in outcomes)
    return sum(sample("worker_jobs_total", one) or 0 for one in labels)


async def notifications_of(world: World, user_id: UUID) -> list[Any]:
    return await world.fetch("SELECT title, body FROM notifications WHERE user_id = $1", user_id)


async def test_what_is_kept_of_a_user_goes_with_them(alone: World, smtp: SmtpServer) -> None:
    """Address and name, notifications, and what their unfinished and dead jobs had kept: all in one transaction."""
    user_id = await alone.known()
    smtp.manner = "defer"
    [waiting] = await alone.publish(created(user_id))
    await alone.until(waiting, email="retrying")
    smtp.manner = "reject"
    [dead] = await alone.publish(created(user_id))
    await alone.until(dead, email="dead")
    unreadable = message_of(new_id(), created(user_id))
    unreadable.body = b'{"name": "Ada"'
    await alone.publish_raw(unreadable)
    await alone.until(UUID(str(unreadable.message_id)), email="dead", notifications="dead")

    await deleted(alone, user_id)
    assert await notifications_of(alone, user_id) == []

    async def only_lasting_is_kept() -> bool:  # an attempt that is in flight keeps its message until it ends
        return {tuple(row) for row in await kept_of(alone, user_id)} <= {("analytics", "dead")}

    await eventually(only_lasting_is_kept, LONG_S)
    assert (await alone.jobs(waiting))["email"] == (await alone.jobs(dead))["email"] == "done"
    [recipient] = await alone.fetch("SELECT email, name FROM recipients WHERE user_id = $1", user_id)
    assert tuple(recipient) == (None, None)
    assert smtp.messages == []


async def test_what_comes_later_leaves_nothing(world: World, post_office: SmtpServer) -> None:
    """Orders and changes that arrive after the deletion write no notification, no mail, no address; they count."""
    user_id = await world.known()
    await deleted(world, user_id)
    order = created(user_id, total=100)
    update = events.UserUpdated(user_id=user_id, email="new@example.com", name="New", revision=9, updated_at=now())
    later = await world.publish(order, changed(events.OrderShipped, order, "created"), registered(user_id), update)
    await world.until_all(later[:2], email="done", notifications="done", analytics="done")
    await world.until_all(later[2:], recipients="done")
    await world.until(later[2], notifications="done")
    assert await notifications_of(world, user_id) == []
    assert [mail for mail in post_office.messages if mail.recipients[0].startswith(user_id.hex)] == []
    [recipient] = await world.fetch("SELECT email, name FROM recipients WHERE user_id = $1", user_id)
    assert tuple(recipient) == (None, None)
    assert (await world.panel("analytics", user_id))[str(user_id)]["orders"] == 1


async def test_a_deletion_that_overtakes_the_registration(world: World) -> None:
    """Someone of whom the deletion is the first thing heard is never known."""
    user = registered()
    await deleted(world, user.user_id)
    [event_id] = await world.publish(user)
    await world.until(event_id, recipients="done", notifications="done")
    assert await notifications_of(world, user.user_id) == []
    [recipient] = await world.fetch("SELECT email FROM recipients WHERE user_id = $1", user.user_id)
    assert recipient["email"] is None


async def test_a_dead_letter_of_a_deleted_user_is_not_kept(world: World) -> None:
    """Nor does what RabbitMQ gives up later bring anything of them back."""
    user_id = await world.known()
    await deleted(world, user_id)
    event_id = new_id()
    message = message_of(event_id, created(user_id))
    message.headers["x-death"] = [{"queue": "worker.email", "reason": "delivery_limit", "count": 1}]
    await world.publish_to_queue("worker.dead", message)
    [marker] = await world.publish(created(user_id, mail=False))
    await world.until(marker, analytics="done")
    assert await kept_of(world, user_id) == []


async def test_a_mail_under_way_leaves_nothing(alone: World, smtp: SmtpServer) -> None:
    """A mail that was being sent when its user was deleted fails afterwards: its job is done, and nothing is kept."""
    user_id = await alone.known()
    smtp.manner = "hang"
    [event_id] = await alone.publish(created(user_id))

    async def sending() -> bool:
        return smtp.attempts > 0

    await eventually(sending, LONG_S)
    await deleted(alone, user_id)
    ended = attempts_ended()
    smtp.stop()  # ends the session

    async def recorded() -> bool:
        return attempts_ended() > ended

    await eventually(recorded, LONG_S)
    assert (await alone.jobs(event_id))["email"] == "done"
    assert await kept_of(alone, user_id) == []


async def test_a_deletion_waits_for_what_is_under_way(settings: Settings, alone: World) -> None:
    """A job that began before the deletion and commits after it began leaves nothing behind."""
    user_id = await alone.known()
    async with Database.open(settings) as db, db.connection() as connection:
        async with connection.transaction():
            assert await erased(connection, [user_id]) == set()
            deleting = asyncio.create_task(deleted(alone, user_id))

            async def waiting() -> bool:
                return bool(await alone.fetch("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))

            await eventually(waiting, LONG_S)
            await connection.execute(
                "INSERT INTO notifications (user_id, id, kind, title, body, created_at)"
                " VALUES ($1, $2, 'order.created', 'late', 'late', now())",
                *(user_id, new_id()),
            )
        await deleting
    assert await notifications_of(alone, user_id) == []


@pytest.mark.full
async def test_users_deleted_in_the_midst_of_their_orders(settings: Settings, alone: World) -> None:
    """However orders, registrations and deletions interleave, nothing personal is left of those who are deleted."""
    users = [registered() for _ in range(30)]
    shuffled: list[events.Event] = []
    for user in users:
        orders = [created(user.user_id, mail=False) for _ in range(2)]
        shuffled += [user, *orders, deletion(user.user_id)]
    told = shuffled[::2] + shuffled[1::2]
    for event, event_id in zip(told, await alone.publish(*told), strict=True):
        done = {job: "done" for job, queue in topology.QUEUES.items() if event.type in queue.routing_keys}
        await alone.until(event_id, LONG_S, **done)
    user_ids = [user.user_id for user in users]
    async with Database.open(settings) as db, db.connection() as connection:
        assert await connection.fetch("SELECT FROM notifications WHERE user_id = ANY($1)", user_ids) == []
        assert await connection.fetch("SELECT FROM recipients WHERE email IS NOT NULL") == []
        assert await connection.fetch("SELECT FROM jobs WHERE payload IS NOT NULL") == []
