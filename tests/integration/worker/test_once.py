"""Once in effect: duplicates, poison, and a bad event among good ones."""

from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from services.worker.settings import Settings
from shared.ids import new_id
from tests.support.backends.smtp import SmtpServer
from tests.support.worker.queues import drained
from tests.support.worker.world import World, created, message_of, registered, working


async def test_the_same_message_twice(world: World, post_office: SmtpServer) -> None:
    """An event that is delivered again has no second effect."""
    user_id = await world.known()
    order = created(user_id)
    [event_id] = await world.publish(order)
    await world.until(event_id, email="done", analytics="done", notifications="done")
    await world.publish(order, order, event_id=event_id)
    [last] = await world.publish(created(user_id, mail=False))
    await world.until(last, email="done", analytics="done", notifications="done")
    panel = (await world.panel("analytics", user_id))[str(user_id)]
    assert panel["orders"] == 2
    assert len(mails_with(post_office, event_id)) == 1
    told = (await world.panel("notifications", user_id))[str(user_id)]
    assert [item["kind"] for item in told].count("order.created") == 2


async def test_two_workers_and_every_message_many_times(settings: Settings, smtp: SmtpServer) -> None:
    """Duplicates that arrive at once on two workers have one effect together."""
    async with working(settings) as one, working(settings) as two:
        await one.until_ready()
        await two.until_ready()
        user_id = await one.known()
        orders = [(new_id(), created(user_id, total=100)) for _ in range(20)]
        messages = [message_of(*order) for order in orders for _ in range(5)]
        await one.publish_raw(*messages)
        for event_id, _ in orders:
            await one.until(event_id, email="done", analytics="done", notifications="done")
        await drained(one)
        panel = (await two.panel("analytics", user_id))[str(user_id)]
        assert (panel["orders"], panel["revenue"]) == (20, {"EUR": 2000})
        assert len(smtp.messages) == 20


POISON: list[tuple[str, bytes, dict[str, Any]]] = [
    ("no JSON", b"\x00\xff{", {}),
    ("not an object", b"[1]", {}),
    ("nested without end", b"[" * 100_000, {}),
    ("missing fields", b"{}", {}),
    ("an unknown type", b"{}", {"type": "order.eaten"}),
    ("a type that is no text", b"{}", {"type": [1, 2]}),
    ("NUL in a header", b"{}", {"type": "a\0b", "note": "\0"}),
    ("binary in a header", b"{}", {"note": bytearray(b"\xff\xfe")}),
]


@pytest.mark.parametrize(("body", "headers"), [case[1:] for case in POISON], ids=[case[0] for case in POISON])
async def test_unreadable_messages_are_dead_and_others_flow(world: World, body: bytes, headers: dict[str, Any]) -> None:
    """A message that nobody can read is kept as dead under its message id, in every job, and holds up nothing."""
    event_id = new_id()
    message = aio_pika.Message(
        body, message_id=str(event_id), type="order.created", headers={"id": str(event_id), "type": "order.created"}
    )
    message.headers |= headers
    await world.publish_raw(message)
    await world.until(event_id, email="dead", analytics="dead", notifications="dead")
    row = await world.job("analytics", event_id)
    assert row["payload"] == body
    assert row["error_group"] == "UnreadableEvent in shared.contracts.events:decode"
    [good] = await world.publish(registered())
    await world.until(good, recipients="done")


async def test_a_bad_event_in_a_batch_costs_only_itself(world: World) -> None:
    """An event that the database refuses is dead; those in the same batch are folded."""
    user_id = uuid4()
    good = [created(user_id, total=100, mail=False) for _ in range(10)]
    bad = created(user_id, total=100, currency="\0", mail=False)
    ids = await world.publish(*good[:5], bad, *good[5:])
    await world.until(ids[5], analytics="dead")
    await world.until_all(ids[:5] + ids[6:], analytics="done")
    panel = (await world.panel("analytics", user_id))[str(user_id)]
    assert (panel["orders"], panel["revenue"]) == (10, {"EUR": 1000})
    assert (await world.job("analytics", ids[5]))["last_error"].startswith("CharacterNotInRepertoireError")


async def test_a_done_job_keeps_no_payload(world: World) -> None:
    """What a message said is kept only while the job is not done."""
    user_id = await world.known()
    [event_id] = await world.publish(created(user_id))
    await world.until(event_id, email="done", analytics="done", notifications="done")
    rows = await world.fetch("SELECT payload, headers, user_id, event_type FROM jobs WHERE event_id = $1", event_id)
    assert {tuple(row) for row in rows} == {(None, None, user_id, "order.created")}


def mails_with(server: SmtpServer, event_id: object) -> list[object]:
    return [mail for mail in server.messages if str(event_id) in mail.message["Message-ID"]]
