"""Webhooks end to end: an event of a user becomes a signed call to the URL that they have named."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook as Verifier

from services.worker.settings import Settings
from shared.contracts import events
from tests.support.backends.databases import NewDatabase
from tests.support.backends.vhosts import Vhosts
from tests.support.waiting import eventually
from tests.support.worker.hooks import QUICK, Hooks
from tests.support.worker.operators import detail, listed, order, run_schedule
from tests.support.worker.receiver import Receiver, answer, receiving
from tests.support.worker.world import LONG_S, World, changed, created, deletion, registered, settings_for, working


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def quick(settings: Settings) -> Settings:
    return settings.model_copy(update=QUICK)


@pytest.fixture(scope="module")
async def world(new_database: NewDatabase, vhosts: Vhosts) -> AsyncIterator[World]:
    """The worker that these tests share: each with a user and a receiver of its own."""
    async with working(settings_for(new_database("worker"), await asyncio.to_thread(vhosts.take), **QUICK)) as world:
        await world.until_ready()
        yield world


@pytest.fixture
def hooks(world: World) -> Hooks:
    return Hooks(world, uuid4())


async def test_an_event_is_a_signed_call(hooks: Hooks, receiver: Receiver) -> None:
    """The receiver gets the event, and can verify it with the secret by the Standard Webhooks library."""
    webhook = await hooks.create(receiver.url("/hook?key=1"))
    placed = created(hooks.user_id)
    [event_id] = await hooks.world.publish(placed)
    [delivery] = await hooks.until(webhook["id"], "delivered")
    [got] = receiver.received
    assert Verifier(webhook["secret"]).verify(got.body, got.headers) == got.event
    assert (got.path, got.id, got.event["type"]) == ("/hook?key=1", str(event_id), "order.created")
    assert got.event["data"]["order_id"] == str(placed.order_id)
    assert "mail" not in got.event["data"]
    assert (delivery["event_id"], delivery["attempts"], delivery["response_status"]) == (str(event_id), 1, 200)
    assert delivery["error"] is delivery["next_attempt_at"] is None
    assert (await hooks.read(webhook["id"]))["last_success_at"]


async def test_only_a_users_own_and_chosen_events(hooks: Hooks, receiver: Receiver) -> None:
    """Each of several webhooks gets what it was made for, and nobody gets another's."""
    paid = await hooks.create(receiver.url("/paid"), ["order.paid", "order.paid"])
    every = await hooks.create(receiver.url("/every"))
    placed, others = created(hooks.user_id), created(uuid4())
    await hooks.world.publish(others, placed, changed(events.OrderPaid, placed, "created"))
    await hooks.until(paid["id"], "delivered", 1)
    await hooks.until(every["id"], "delivered", 2)
    got = sorted((one.path, one.event["type"]) for one in receiver.received)
    assert got == [("/every", "order.created"), ("/every", "order.paid"), ("/paid", "order.paid")]
    assert {one.event["data"]["user_id"] for one in receiver.received} == {str(hooks.user_id)}
    assert paid["events"] == ["order.paid"]


async def test_an_event_that_comes_twice_is_one_delivery(hooks: Hooks, receiver: Receiver) -> None:
    """Even when the ledger has forgotten the event."""
    webhook = await hooks.create(receiver.url())
    placed = created(hooks.user_id)
    [event_id] = await hooks.world.publish(placed)
    await hooks.until(webhook["id"], "delivered")
    await hooks.world.fetch("DELETE FROM jobs WHERE event_id = $1", event_id)
    await hooks.world.publish(placed, event_id=event_id)
    await hooks.world.until(event_id, webhooks="done")
    assert len(await hooks.deliveries(webhook["id"])) == len(receiver.received) == 1


async def test_a_receiver_that_fails_and_recovers(hooks: Hooks, receiver: Receiver) -> None:
    """The call is made again with the same id and body, and a signature of its own time."""
    receiver.reply = answer(500)
    webhook = await hooks.create(receiver.url())
    await hooks.world.publish(created(hooks.user_id))
    failed = await hooks.until_failed_once(webhook["id"])

    async def is_retrying() -> bool:  # between two calls
        return bool((await detail(hooks.world, "webhooks", failed["id"]))["state"] == "retrying")

    assert (failed["state"], failed["error"], failed["response_status"]) == ("pending", "answered 500", 500)
    assert failed["next_attempt_at"]
    assert (await hooks.read(webhook["id"]))["failing_since"]
    row = await hooks.world.until_failed("webhooks", failed["id"])
    assert row["last_error"] == "ReceiverFailed: answered 500"
    shown = await listed(hooks.world, job="webhooks", error_group="webhook receiver", limit=100)
    assert failed["id"] in [item["event_id"] for item in shown["items"]]
    await eventually(is_retrying, LONG_S)
    receiver.reply = answer(204)
    [delivered] = await hooks.until(webhook["id"], "delivered")
    assert delivered["attempts"] == len(receiver.received) > 1
    assert len(set(receiver.ids)) == len({one.body for one in receiver.received}) == 1
    for got in receiver.received:
        Verifier(webhook["secret"]).verify(got.body, got.headers)
    assert (await hooks.read(webhook["id"]))["failing_since"] is None


async def test_what_fails_to_the_last_is_kept_for_replay(quick: Settings, receiver: Receiver) -> None:
    """It is failed for its owner, no dead job for the operator; replayed it is the same message."""
    receiver.reply = answer(404)
    async with working(quick.model_copy(update={"webhook_attempts": 3})) as world:
        hooks = Hooks(world, uuid4())
        webhook = await hooks.create(receiver.url())
        await world.publish(created(hooks.user_id))
        [failed] = await hooks.until(webhook["id"], "failed")
        assert (failed["attempts"], failed["next_attempt_at"], len(receiver.received)) == (3, None, 3)
        assert (await world.jobs(failed["id"])) == {"webhooks": "done"}
        receiver.reply = answer(200)
        replayed = await hooks.told("POST", f"/{webhook['id']}/deliveries/{failed['id']}/replay")
        assert replayed["id"] == failed["id"]
        [delivered] = await hooks.until(webhook["id"], "delivered")
        again = await hooks.ask("POST", f"/{webhook['id']}/deliveries/{failed['id']}/replay")
        assert again.status_code == 202

        async def came() -> bool:
            return len(receiver.received) == 5

        await eventually(came, LONG_S)
    assert delivered["attempts"] == 1
    assert len(set(receiver.ids)) == 1


async def test_a_delivery_under_way_is_not_replayed(hooks: Hooks, receiver: Receiver) -> None:
    """It would be two at once."""
    receiver.answers.clear()
    webhook = await hooks.create(receiver.url())
    await hooks.world.publish(created(hooks.user_id))
    await eventually(lambda: receiver.received, LONG_S)
    [delivery] = await hooks.deliveries(webhook["id"])
    answered = await hooks.ask("POST", f"/{webhook['id']}/deliveries/{delivery['id']}/replay")
    assert (answered.status_code, answered.json()["code"]) == (409, "call_under_way")
    receiver.answers.set()
    await hooks.until(webhook["id"], "delivered")


async def test_a_ping(hooks: Hooks, receiver: Receiver) -> None:
    """A user may try a webhook without an order; whether it works, its delivery says."""
    webhook = await hooks.create(receiver.url())
    delivery = await hooks.told("POST", f"/{webhook['id']}/test")
    assert (delivery["event_type"], delivery["state"]) == ("webhook.ping", "pending")
    await hooks.until(webhook["id"], "delivered")
    [got] = receiver.received
    assert Verifier(webhook["secret"]).verify(got.body, got.headers)["data"]["webhook_id"] == webhook["id"]
    assert (await hooks.told("GET", f"/{webhook['id']}/deliveries/{delivery['id']}"))["state"] == "delivered"


async def test_pings_do_not_pile_up(hooks: Hooks, receiver: Receiver) -> None:
    """Who hammers the button is told that the last ones are still waiting."""
    receiver.answers.clear()
    webhook = await hooks.create(receiver.url())
    codes = [(await hooks.ask("POST", f"/{webhook['id']}/test")).status_code for _ in range(7)]
    assert codes == [202] * 5 + [409] * 2


async def test_a_secret_that_is_replaced(hooks: Hooks, receiver: Receiver) -> None:
    """Calls verify with the new and with the old one, until the old one's day is over; neither is shown again."""
    webhook = await hooks.create(receiver.url())
    renewed = await hooks.told("POST", f"/{webhook['id']}/secret")
    assert renewed["secret"] != webhook["secret"]
    await hooks.told("POST", f"/{webhook['id']}/test")
    await hooks.until(webhook["id"], "delivered")
    await hooks.world.fetch("UPDATE webhooks SET old_secret_until = now() WHERE id = $1", webhook["id"])
    await hooks.told("POST", f"/{webhook['id']}/test")
    await hooks.until(webhook["id"], "delivered", 2)
    assert [len(one.headers["webhook-signature"].split()) for one in receiver.received] == [2, 1]
    for secret in (renewed["secret"], webhook["secret"]):
        Verifier(secret).verify(receiver.received[0].body, receiver.received[0].headers)
    assert "secret" not in await hooks.read(webhook["id"])
    rows = await hooks.world.fetch("SELECT * FROM webhooks")
    assert not any("whsec" in str(value) for row in rows for value in row.values())


async def test_gone_turns_it_off_at_once(hooks: Hooks, receiver: Receiver) -> None:
    """A 410 is the receiver's last word: the user is told, and nothing more is sent until it is turned on again."""
    receiver.reply = answer(410)
    webhook = await hooks.create(receiver.url())
    await hooks.world.publish(created(hooks.user_id))
    await hooks.until(webhook["id"], "failed")
    seen = await hooks.read(webhook["id"])
    assert (seen["enabled"], seen["disabled_reason"], bool(seen["disabled_at"])) == (False, "gone", True)
    told = (await hooks.world.panel("notifications", hooks.user_id))[str(hooks.user_id)]
    assert [one["kind"] for one in told if one["kind"].startswith("webhook")] == ["webhook.disabled"]
    assert (await hooks.ask("POST", f"/{webhook['id']}/test")).json()["code"] == "webhook_turned_off"
    [event_id] = await hooks.world.publish(created(hooks.user_id))
    await hooks.world.until(event_id, webhooks="done")
    assert len(await hooks.deliveries(webhook["id"])) == len(receiver.received) == 1
    receiver.reply = answer(200)
    on = await hooks.told("PATCH", f"/{webhook['id']}", json={"enabled": True})
    assert (on["enabled"], on["disabled_reason"], on["disabled_at"], on["failing_since"]) == (True, None, None, None)
    await hooks.told("POST", f"/{webhook['id']}/test")
    await hooks.until(webhook["id"], "delivered")


async def test_days_of_failure_turn_it_off(hooks: Hooks, receiver: Receiver) -> None:
    """With one notification, however many calls fail at the end; what still waits is cancelled when it is due."""
    receiver.reply = answer(503)
    webhook = await hooks.create(receiver.url())
    await hooks.world.publish(created(hooks.user_id))
    await hooks.until_failed_once(webhook["id"])
    assert (await hooks.read(webhook["id"]))["enabled"]
    await hooks.world.fetch(
        "UPDATE webhooks SET failing_since = now() - interval '5 days' WHERE id = $1", webhook["id"]
    )
    await hooks.world.publish(*(created(hooks.user_id) for _ in range(5)))

    async def off() -> bool:
        return bool((await hooks.read(webhook["id"]))["disabled_reason"] == "failing")

    await eventually(off, LONG_S)
    await hooks.until(webhook["id"], "cancelled")
    told = (await hooks.world.panel("notifications", hooks.user_id))[str(hooks.user_id)]
    [notification] = [one for one in told if one["kind"] == "webhook.disabled"]
    assert notification["title"] == "Webhook disabled"


async def test_a_receiver_that_asks_for_patience(hooks: Hooks, receiver: Receiver) -> None:
    """`Retry-After` of a 429 or 503 is heeded, up to an hour."""
    receiver.reply = answer(429, "Retry-After: 86400")
    webhook = await hooks.create(receiver.url())
    await hooks.world.publish(created(hooks.user_id))
    failed = await hooks.until_failed_once(webhook["id"])
    [row] = await hooks.world.fetch(
        "SELECT next_attempt_at - updated_at AS pause FROM jobs WHERE event_id = $1", failed["id"]
    )
    assert 3590 < row["pause"].total_seconds() < 3610
    assert failed["error"] == "answered 429"


async def test_a_receiver_that_talks_too_much(hooks: Hooks, receiver: Receiver) -> None:
    """Of an endless answer a few kilobytes are read; the status counts."""
    receiver.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000
    webhook = await hooks.create(receiver.url())
    await hooks.world.publish(created(hooks.user_id))
    [delivery] = await hooks.until(webhook["id"], "delivered")
    assert delivery["duration_ms"] < LONG_S * 1000


@pytest.mark.parametrize("reply", [b"SSH-2.0-OpenSSH\r\n", b"", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000])
async def test_a_receiver_that_does_not_speak_http(hooks: Hooks, receiver: Receiver, reply: bytes) -> None:
    """What it says is not repeated to the user, who could else read other services' greetings."""
    receiver.reply = reply
    webhook = await hooks.create(receiver.url())
    await hooks.world.publish(created(hooks.user_id))
    failed = await hooks.until_failed_once(webhook["id"])
    assert failed["error"] in (
        "the connection was closed, or the response was not HTTP",
        "too much data before the status of the response",
    )


async def test_a_changed_url(hooks: Hooks, receiver: Receiver) -> None:
    """What waits goes to the new URL, by the limits of its host."""
    receiver.reply = answer(429, "Retry-After: 600")
    webhook = await hooks.create(receiver.url())
    await hooks.world.publish(created(hooks.user_id))
    await hooks.until_failed_once(webhook["id"])
    async with receiving() as other:
        await hooks.told("PATCH", f"/{webhook['id']}", json={"url": other.url("/new"), "description": "mine"})
        await hooks.world.fetch("UPDATE jobs SET next_attempt_at = now() WHERE lane = $1", f"127.0.0.1:{other.port}")
        await hooks.until(webhook["id"], "delivered")
        assert [one.path for one in other.received] == ["/new"]
    assert (await hooks.read(webhook["id"]))["description"] == "mine"


async def test_a_webhook_that_is_deleted(hooks: Hooks, receiver: Receiver) -> None:
    """Nothing of it stays, and what waits is not sent any more."""
    receiver.reply = answer(500)
    webhook = await hooks.create(receiver.url())
    await hooks.world.publish(created(hooks.user_id))
    failed = await hooks.until_failed_once(webhook["id"])
    assert (await hooks.ask("DELETE", f"/{webhook['id']}")).status_code == 204
    assert (await hooks.ask("DELETE", f"/{webhook['id']}")).status_code == 404
    assert (await hooks.ask("GET", f"/{webhook['id']}/deliveries")).status_code == 404
    await hooks.world.until(failed["id"], webhooks="done")
    assert await hooks.world.fetch("SELECT FROM webhook_deliveries WHERE user_id = $1", hooks.user_id) == []
    assert await hooks.world.fetch("SELECT FROM jobs WHERE event_id = $1 AND payload IS NOT NULL", failed["id"]) == []


async def test_a_user_who_is_deleted(world: World, receiver: Receiver) -> None:
    """Their webhooks and deliveries go, also one that is under way, and none can be made any more."""
    user = registered()
    hooks = Hooks(world, user.user_id)
    receiver.answers.clear()
    await world.publish(user)
    webhook = await hooks.create(receiver.url())
    await world.publish(created(user.user_id, mail=False))
    await eventually(lambda: receiver.received, LONG_S)
    [delivery] = await hooks.deliveries(webhook["id"])
    [event_id] = await world.publish(deletion(user.user_id))
    await world.until(event_id, recipients="done")
    receiver.answers.set()
    await world.until(delivery["id"], webhooks="done")
    for table in ("webhooks", "webhook_deliveries", "notifications"):
        assert await world.fetch(f"SELECT FROM {table} WHERE user_id = $1", user.user_id) == []
    assert await world.fetch("SELECT FROM jobs WHERE user_id = $1 AND payload IS NOT NULL", user.user_id) == []
    refused = await hooks.ask("POST", json={"url": receiver.url(), "events": ["order.paid"]})
    assert refused.status_code == 404


@pytest.mark.full
async def test_what_fails_because_of_us_is_the_operators(quick: Settings, receiver: Receiver) -> None:
    """A secret that no key decrypts makes dead jobs, not failed deliveries; mended and replayed, they are made."""
    other = SecretStr("another key than the one of before")
    async with working(quick) as world:
        hooks = Hooks(world, uuid4())
        webhook = await hooks.create(receiver.url())
    async with working(quick.model_copy(update={"webhook_secret_keys": other, "webhook_attempts": 1})) as world:
        hooks.world = world
        await world.publish(created(hooks.user_id))
        [waiting] = await hooks.until(webhook["id"], "pending")
        await world.until(waiting["id"], webhooks="dead")
        assert (await hooks.read(webhook["id"]))["failing_since"] is None
        shown = await listed(world, job="webhooks", state="dead")
        assert [item["last_error"].split(":")[0] for item in shown["items"]] == ["SecretUnreadable"]
    async with working(quick) as world:
        hooks.world = world
        replayed = await order(world, "replay", job="webhooks", event_ids=[waiting["id"]])
        assert replayed["replayed"] == 1
        await hooks.until(webhook["id"], "delivered")
    assert len(receiver.received) == 1


@pytest.mark.full
async def test_old_deliveries_are_purged(quick: Settings, receiver: Receiver) -> None:
    """Those that are over and older than what is kept; what waits stays."""
    async with working(quick) as world:
        hooks = Hooks(world, uuid4())
        webhook = await hooks.create(receiver.url())
        await world.publish(created(hooks.user_id))
        await hooks.until(webhook["id"], "delivered")
        receiver.reply = answer(503, "Retry-After: 3600")
        await world.publish(created(hooks.user_id))
        await eventually(lambda: len(receiver.received) == 2, LONG_S)
        await world.fetch("UPDATE webhook_deliveries SET updated_at = now() - interval '8 days'")
        await run_schedule(world, "purge-webhooks")

        async def purged() -> bool:
            return [one["state"] for one in await hooks.deliveries(webhook["id"])] == ["pending"]

        await eventually(purged, LONG_S)
