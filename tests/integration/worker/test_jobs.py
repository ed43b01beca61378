"""Each job from a published event to its effect."""

from datetime import timedelta
from uuid import UUID, uuid4

from shared.clock import now
from shared.contracts import events
from tests.support.backends.smtp import Received, SmtpServer
from tests.support.worker.world import World, changed, created, registered


def mails_to(server: SmtpServer, user_id: UUID) -> list[Received]:
    return [mail for mail in server.messages if mail.recipients == (f"{user_id.hex}@example.com",)]


async def test_an_order_sends_its_confirmation(world: World, post_office: SmtpServer) -> None:
    """order.created sends one mail in text and HTML, whose Message-ID is made from the event's id."""
    user_id = await world.known(name="Ada <Lovelace>")
    [event_id] = await world.publish(created(user_id, total=1250))
    await world.until(event_id, email="done")
    [mail] = mails_to(post_office, user_id)
    assert mail.message["Message-ID"] == f"<{event_id}@dashboard.example>"
    text, html = mail.message.iter_parts()
    assert "12.50 EUR" in text.get_content()
    assert "Hello Ada <Lovelace>" in text.get_content()
    assert "Hello Ada &lt;Lovelace&gt;" in html.get_content()


async def test_a_shipped_order_sends_its_mail(world: World, post_office: SmtpServer) -> None:
    """order.shipped sends a mail of its own."""
    user_id = await world.known()
    [event_id] = await world.publish(changed(events.OrderShipped, created(user_id), "paid"))
    await world.until(event_id, email="done")
    [mail] = mails_to(post_office, user_id)
    assert "has been shipped" in mail.message["Subject"]


async def test_an_order_without_mail_sends_none(world: World, post_office: SmtpServer) -> None:
    """An event with `mail` false is done without a mail."""
    user_id = await world.known()
    [event_id] = await world.publish(created(user_id, mail=False))
    await world.until(event_id, email="done")
    assert mails_to(post_office, user_id) == []


async def test_a_recipient_may_be_known_later(world: World, post_office: SmtpServer) -> None:
    """An order that overtakes its user's registration waits for it."""
    user = registered()
    [order_id] = await world.publish(created(user.user_id))
    await world.until(order_id, email="retrying")
    assert (await world.job("email", order_id))["last_error"].startswith("RecipientUnknown")
    await world.publish(user)
    await world.until(order_id, email="done")
    assert len(mails_to(post_office, user.user_id)) == 1


async def test_a_deleted_user_gets_no_mail(world: World, post_office: SmtpServer) -> None:
    """Of a deleted user only the revision is kept, and their orders are done without a mail."""
    user_id = await world.known()
    [deleted] = await world.publish(events.UserDeleted(user_id=user_id, revision=2, deleted_at=now()))
    await world.until(deleted, recipients="done")
    [event_id] = await world.publish(created(user_id))
    await world.until(event_id, email="done")
    assert mails_to(post_office, user_id) == []
    [row] = await world.fetch("SELECT * FROM recipients WHERE user_id = $1", user_id)
    assert (row["revision"], row["email"], row["name"]) == (2, None, None)


async def test_the_newest_revision_of_a_recipient_wins(world: World) -> None:
    """An older change that arrives later changes nothing."""
    user_id = await world.known(revision=3)
    older = events.UserUpdated(user_id=user_id, email="old@example.com", name="Old", revision=2, updated_at=now())
    [event_id] = await world.publish(older)
    await world.until(event_id, recipients="done")
    [row] = await world.fetch("SELECT name, revision FROM recipients WHERE user_id = $1", user_id)
    assert tuple(row) == ("Ada", 3)


async def test_an_order_writes_notifications(world: World) -> None:
    """Registration and each change of an order are told, newest first."""
    user_id = await world.known()
    order = created(user_id, total=500, currency="JPY")
    for event in (order, changed(events.OrderPaid, order, "created"), changed(events.OrderCancelled, order, "paid")):
        [event_id] = await world.publish(event)
        await world.until(event_id, notifications="done")
    panel = (await world.panel("notifications", user_id))[str(user_id)]
    assert [item["kind"] for item in panel] == ["order.cancelled", "order.paid", "order.created", "user.registered"]
    assert set(panel[0]) == {"id", "kind", "title", "body", "read", "created_at", "subject"}
    [row] = await world.fetch("SELECT body FROM notifications WHERE user_id = $1 AND kind = 'order.paid'", user_id)
    assert row["body"] == "Thank you for your payment of 500 JPY."


async def test_the_analytics_of_a_user(world: World) -> None:
    """Orders and items count every order placed; revenue leaves out cancelled ones, on the day of their creation."""
    user_id = uuid4()
    yesterday = now() - timedelta(days=1)
    kept, gone = created(user_id, total=1001), created(user_id, total=500, created_at=yesterday)
    other = created(user_id, total=700, currency="JPY", created_at=yesterday)
    ids = await world.publish(
        kept,
        changed(events.OrderCancelled, gone, "created", timedelta(days=1)),
        other,
        gone,
        changed(events.OrderPaid, kept, "created"),
        created(user_id, total=500),
    )
    await world.until_all(ids, analytics="done")
    panel = (await world.panel("analytics", user_id))[str(user_id)]
    daily = panel.pop("daily")
    assert panel.pop("last_order_at").endswith("Z")
    assert panel == {
        "orders": 4,
        "items": 8,
        "revenue": {"EUR": 1501, "JPY": 700},
        "by_status": {"created": 2, "paid": 1, "cancelled": 1},
        "by_currency": {"EUR": 2, "JPY": 1},
        "average_order": {"EUR": 751, "JPY": 700},
    }
    assert len(daily) == 30
    assert daily[-1] == {"day": now().date().isoformat(), "orders": 2, "revenue": {"EUR": 1501}}
    assert daily[-2] == {"day": yesterday.date().isoformat(), "orders": 2, "revenue": {"JPY": 700}}
    assert daily[0]["orders"] == 0


async def test_panels_of_users_without_anything(world: World) -> None:
    """Someone of whom the worker knows nothing has zeros and empty lists."""
    user_id = uuid4()
    panel = (await world.panel("analytics", user_id))[str(user_id)]
    assert (panel["orders"], panel["items"], panel["revenue"], panel["last_order_at"]) == (0, 0, {}, None)
    assert (panel["by_status"], panel["by_currency"], panel["average_order"]) == ({}, {}, {})
    assert all(day["orders"] == 0 and day["revenue"] == {} for day in panel["daily"])
    assert (await world.panel("notifications", user_id))[str(user_id)] == []
