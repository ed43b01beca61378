"""The mails that a user wants, and those that are not sent because of it."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.worker.email.kinds import KINDS
from services.worker.email.notification_settings import store
from shared.contracts import events
from shared.contracts.internal_api import PERSONAL_DATA_PATH
from shared.db.engine import Database
from tests.support.backends.smtp import Received, SmtpServer
from tests.support.waiting import eventually
from tests.support.worker.operators import detail, listed
from tests.support.worker.world import LONG_S, World, as_user, changed, created, deletion

PATH = "/v1/me/notification-settings"
DEFAULTS = {
    "kinds": {"order_confirmation": {"mail": True}, "order_status": {"mail": True}, "other": {"mail": True}},
    "weekly_digest": False,
}
OFF = "the recipient has switched off mails of the kind order_confirmation"


async def read(world: World, user_id: UUID) -> dict[str, Any]:
    answer = await world.http.get(PATH, headers=as_user(user_id))
    assert answer.status_code == 200, answer.text
    settings: dict[str, Any] = answer.json()
    return settings


async def put(world: World, user_id: UUID, body: Any) -> httpx.Response:
    return await world.http.put(PATH, json=body, headers=as_user(user_id))


async def switch(world: World, user_id: UUID, kind: str, *, mail: bool) -> None:
    answer = await put(world, user_id, {"kinds": {kind: {"mail": mail}}})
    assert answer.status_code == 200, answer.text


def mails_to(server: SmtpServer, user_id: UUID) -> list[Received]:
    return [mail for mail in server.messages if mail.recipients == (f"{user_id.hex}@example.com",)]


async def test_defaults(world: World) -> None:
    """Every mail is sent to a person who has not chosen, except the digest."""
    assert await read(world, uuid4()) == DEFAULTS


async def test_choices_are_kept(world: World) -> None:
    """The response has all settings; what is not named stays as it is; they are the user's own."""
    user_id, other = uuid4(), uuid4()
    chosen = DEFAULTS | {"weekly_digest": True}
    answer = await put(world, user_id, {"weekly_digest": True})
    assert (answer.status_code, answer.json()) == (200, chosen)
    await switch(world, user_id, "order_status", mail=False)
    chosen = chosen | {"kinds": DEFAULTS["kinds"] | {"order_status": {"mail": False}}}  # type: ignore[operator]
    assert await read(world, user_id) == chosen
    for _ in range(2):
        assert (await put(world, user_id, chosen)).json() == chosen
    assert (await put(world, user_id, {})).json() == chosen
    assert (await put(world, user_id, DEFAULTS)).json() == await read(world, user_id) == DEFAULTS
    assert await read(world, other) == DEFAULTS


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"kinds": {"nonsense": {"mail": False}}}, ["kinds.nonsense"]),
        ({"kinds": {"security": {"mail": False}}}, ["kinds.security"]),
        ({"kinds": {"weekly_digest": {"mail": True}}}, ["kinds.weekly_digest"]),
        ({"kinds": {"other": {"mail": True}, "x": {"mail": True}, "y": {"mail": True}}}, ["kinds.x", "kinds.y"]),
        ({"kinds": {"other": {}}}, ["kinds.other.mail"]),
        ({"kinds": {"other": {"mail": "false"}}}, ["kinds.other.mail"]),
        ({"kinds": {"other": {"mail": 0}}}, ["kinds.other.mail"]),
        ({"kinds": {"other": {"mail": None}}}, ["kinds.other.mail"]),
        ({"kinds": {"other": {"mail": False, "sms": True}}}, ["kinds.other.sms"]),
        ({"kinds": {"other": False}}, ["kinds.other"]),
        ({"kinds": []}, ["kinds"]),
        ({"weekly_digest": "yes"}, ["weekly_digest"]),
        ({"weekly_digest": 1}, ["weekly_digest"]),
        ({"user_id": str(uuid4())}, ["user_id"]),
        ([], ["body"]),
    ],
)
async def test_what_cannot_be_chosen(world: World, body: Any, fields: list[str]) -> None:
    """It is 422 with the names of the fields, and nothing is stored."""
    user_id = uuid4()
    answer = await put(world, user_id, body)
    assert answer.status_code == 422, answer.text
    assert [each["field"] for each in answer.json()["errors"]] == fields
    assert await read(world, user_id) == DEFAULTS


async def test_many_changes_at_once(world: World) -> None:
    """None is lost, and none fails."""
    user_id = uuid4()
    kinds = list(DEFAULTS["kinds"])  # type: ignore[call-overload]
    both = [{"kinds": {kind: {"mail": False} for kind in order}} for order in (kinds, kinds[::-1])]
    answers = await asyncio.gather(*(put(world, user_id, body) for body in both * 5))
    assert {answer.status_code for answer in answers} == {200}
    assert (await read(world, user_id))["kinds"] == {kind: {"mail": False} for kind in kinds}


async def test_a_mail_that_is_switched_off(world: World, post_office: SmtpServer) -> None:
    """It is not sent, and its job ends as suppressed with the reason, which operators see; other kinds are sent."""
    user_id = await world.known()
    await switch(world, user_id, "order_confirmation", mail=False)
    order = created(user_id)
    [confirmed] = await world.publish(order)
    [shipped] = await world.publish(changed(events.OrderShipped, order, "paid"))
    await world.until(confirmed, email="suppressed", notifications="done", analytics="done")
    await world.until(shipped, email="done")
    assert ["shipped" in mail.message["Subject"] for mail in mails_to(post_office, user_id)] == [True]
    job = await detail(world, "email", confirmed)
    assert (job["state"], job["error"], job["payload"]) == ("suppressed", OFF, None)
    assert [(each["outcome"], each["error"]) for each in job["attempt_log"]] == [("suppressed", OFF)]
    found = await listed(world, state="suppressed", user_id=str(user_id))
    assert [(each["event_id"], each["error"]) for each in found["items"]] == [(str(confirmed), OFF)]
    assert await world.fetch("SELECT FROM mails WHERE event_id = $1", confirmed) == []
    await switch(world, user_id, "order_confirmation", mail=True)
    [again] = await world.publish(created(user_id))
    await world.until(again, email="done")
    assert len(mails_to(post_office, user_id)) == 2


@pytest.mark.full
async def test_a_mail_that_waits_when_it_is_switched_off(alone: World, smtp: SmtpServer) -> None:
    """Its next attempt does not send it, and its record says so."""
    user_id = await alone.known()
    smtp.manner = "defer"
    [event_id] = await alone.publish(created(user_id))
    await alone.until_failed("email", event_id)
    await switch(alone, user_id, "order_confirmation", mail=False)
    # An attempt that is under way may have read the earlier choice: the mail server still refuses its mail.
    await alone.until(event_id, email="suppressed")
    smtp.manner = "accept"

    async def withdrawn() -> bool:
        return bool((await alone.mail(event_id))["state"] == "withdrawn")

    await eventually(withdrawn, LONG_S)
    assert smtp.messages == []


async def test_a_deleted_users_choices_are_deleted(world: World) -> None:
    """And none can be stored afterwards."""
    user_id = await world.known()
    await switch(world, user_id, "order_status", mail=False)
    [deleted] = await world.publish(deletion(user_id))
    await world.until(deleted, recipients="done")
    assert await world.fetch("SELECT FROM notification_settings WHERE user_id = $1", user_id) == []
    await switch(world, user_id, "order_status", mail=False)
    async with Database.open(world.settings) as db, db.connection() as connection, connection.transaction():
        await store(connection, user_id, {"other": False})
    assert await world.fetch("SELECT FROM notification_settings WHERE user_id = $1", user_id) == []


async def test_choices_are_exported(world: World) -> None:
    user_id = await world.known()
    await switch(world, user_id, "order_status", mail=False)
    answer = await world.http.get(PERSONAL_DATA_PATH, headers=as_user(user_id))
    [choice] = answer.json()["notification_settings"]
    assert (choice["kind"], choice["mail"]) == ("order_status", False)


async def test_a_system_without_digests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings say that there are none, and none can be chosen."""
    monkeypatch.delitem(KINDS, "weekly_digest")
    user_id = uuid4()
    assert await read(world, user_id) == DEFAULTS | {"weekly_digest": None}
    assert (await put(world, user_id, {"weekly_digest": None})).status_code == 200
    answer = await put(world, user_id, {"weekly_digest": True})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "weekly_digest")
