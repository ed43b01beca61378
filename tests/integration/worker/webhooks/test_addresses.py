"""A worker that may call public addresses alone, and names that lead elsewhere: when a webhook is made, and later."""

from uuid import uuid4

import pytest

from services.worker.settings import Settings
from tests.support.waiting import eventually
from tests.support.worker.hooks import QUICK, Hooks
from tests.support.worker.names import Names
from tests.support.worker.receiver import answer, receiving
from tests.support.worker.world import LONG_S, created, working

ELSEWHERE = ["93.184.216.34"]
STRICT = QUICK | {"webhook_allowed_networks": ""}


@pytest.fixture
def strict(settings: Settings) -> Settings:
    return settings.model_copy(update=STRICT)


async def test_a_name_that_leads_inside_is_refused_at_once(strict: Settings) -> None:
    """Also when only one of its addresses does; one that leads nowhere today may lead somewhere tomorrow."""
    names = Names(inside_example=[["10.0.0.1"]], half_example=[[*ELSEWHERE, "127.0.0.1"]], out_example=[ELSEWHERE])
    async with working(strict.model_copy(update={"network": names.network})) as world:
        hooks = Hooks(world, uuid4())
        for host in ("inside.example", "half.example"):
            refused = await hooks.ask("POST", json={"url": f"https://{host}/", "events": ["order.paid"]})
            assert refused.status_code == 422
            [error] = refused.json()["errors"]
            assert error == {"field": "url", "message": "cannot be called: the address is not public"}
        for host in ("out.example", "unknown.example"):
            await hooks.create(f"https://{host}/")


@pytest.mark.full
async def test_a_name_that_is_rebound_later_is_refused_with_each_call(strict: Settings) -> None:
    """It was public when the webhook was made, and leads to this machine or to the metadata when it is called."""
    async with receiving() as receiver:
        names = Names(
            rebound_example=[ELSEWHERE, ["127.0.0.1"], ["169.254.169.254"], [*ELSEWHERE, "10.0.0.1"], ["127.0.0.1"]]
        )
        ports = {"webhook_ports": f"443,{receiver.port}", "webhook_attempts": 4}
        async with working(strict.model_copy(update=ports | {"network": names.network})) as world:
            hooks = Hooks(world, uuid4())
            webhook = await hooks.create(receiver.url(host="rebound.example"))
            await world.publish(created(hooks.user_id))
            [failed] = await hooks.until(webhook["id"], "failed")
            assert (failed["attempts"], failed["response_status"]) == (4, None)
            assert failed["error"] == "the address is not public"
            assert len(names.asked) == 5
        assert receiver.received == []


async def test_a_redirect_inside_is_not_followed(settings: Settings) -> None:
    """Nothing is followed: the delivery says so, and the place that it leads to hears nothing."""
    async with receiving() as receiver, receiving() as inside, working(settings.model_copy(update=QUICK)) as world:
        receiver.reply = answer(302, f"Location: {inside.url()}")
        hooks = Hooks(world, uuid4())
        webhook = await hooks.create(receiver.url())
        await world.publish(created(hooks.user_id))
        failed = await hooks.until_failed_once(webhook["id"])
        assert failed["error"] == "answered 302: redirects are not followed"
        assert inside.received == []


@pytest.mark.full
async def test_a_network_that_is_no_longer_allowed(settings: Settings) -> None:
    """A webhook that was made when it was is refused from then on."""
    async with receiving() as receiver:
        async with working(settings.model_copy(update=QUICK)) as world:
            hooks = Hooks(world, uuid4())
            webhook = await hooks.create(receiver.url())
        async with working(settings.model_copy(update=STRICT)) as world:
            hooks.world = world
            await world.publish(created(hooks.user_id))
            await eventually(lambda: world.fetch("SELECT FROM webhook_deliveries"), LONG_S)
            failed = await hooks.until_failed_once(webhook["id"])
            assert failed["error"] == "the address is not public"
        assert receiver.received == []
