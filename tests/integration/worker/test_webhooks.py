"""Webhooks end to end: an event of a user becomes a signed call to the URL that they have named."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from standardwebhooks import Webhook as Verifier

from services.worker.settings import Settings
from tests.integration.worker.hooks import QUICK, Hooks
from tests.integration.worker.receiver import Receiver, receiving
from tests.integration.worker.world import World, created, working


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def quick(settings: Settings) -> Settings:
    return settings.model_copy(update=QUICK)


@pytest.fixture
async def world(quick: Settings) -> AsyncIterator[World]:
    async with working(quick) as world:
        await world.until_ready()
        yield world


@pytest.fixture
def hooks(world: World) -> Hooks:
    return Hooks(world, uuid4())


async def test_an_event_is_a_signed_call(hooks: Hooks, receiver: Receiver) -> None:
    """The receiver gets the event, and can verify it with the secret by the Standard Webhooks library."""
    webhook = await hooks.create(receiver.url("/hook?key=1"))
    order = created(hooks.user_id)
    [event_id] = await hooks.world.publish(order)
    [delivery] = await hooks.until(webhook["id"], "delivered")
    [got] = receiver.received
    assert Verifier(webhook["secret"]).verify(got.body, got.headers) == got.event
    assert (got.path, got.id, got.event["type"]) == ("/hook?key=1", str(event_id), "order.created")
    assert got.event["data"]["order_id"] == str(order.order_id)
    assert got.event["data"]["user_id"] == str(hooks.user_id)
    assert (delivery["event_id"], delivery["attempts"], delivery["response_status"]) == (str(event_id), 1, 200)
    assert delivery["error"] is delivery["next_attempt_at"] is None
