"""Many deliveries at once: how many calls are under way, who waits for whom, and what workers that end leave."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from services.worker.settings import Settings
from services.worker.webhooks.settings import WebhookTuning
from tests.support.waiting import eventually
from tests.support.worker.hooks import QUICK, Hooks
from tests.support.worker.names import Names
from tests.support.worker.process import worker_process
from tests.support.worker.receiver import Received, Receiver, receiving
from tests.support.worker.world import LONG_S, World, created, end_leases, tuning_of, working


@pytest.fixture
def quick(settings: Settings) -> Settings:
    return settings.model_copy(update=QUICK)


@asynccontextmanager
async def receivers(count: int) -> AsyncIterator[list[Receiver]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(receiving()) for _ in range(count)]


async def hooked(world: World, receiver: Receiver) -> tuple[Hooks, str]:
    """A user with a webhook."""
    hooks = Hooks(world, uuid4())
    return hooks, (await hooks.create(receiver.url()))["id"]


async def until_received(receivers: Sequence[Receiver], count: int, within: float = LONG_S) -> None:
    """So many different messages."""
    await eventually(lambda: len({each for one in receivers for each in one.ids}) >= count, within)


@pytest.mark.full
async def test_many_deliveries_to_a_few_hosts(quick: Settings) -> None:
    """Five hosts get ten each: never more than N calls altogether, nor M to one host, and each arrives once."""
    bounds = {"webhook_calls": 8, "webhook_calls_per_host": 2}
    most = 0
    async with receivers(5) as hosts, working(quick.model_copy(update=bounds)) as world:

        def count(_: Received) -> None:
            nonlocal most
            most = max(most, sum(one.here for one in hosts))

        users = [await hooked(world, one) for one in hosts]
        for one in hosts:
            one.on_request = count
            one.answers.clear()
        ids = await world.publish(*(created(hooks.user_id) for hooks, _ in users for _ in range(10)))
        await eventually(lambda: sum(one.here for one in hosts) == 8, LONG_S)
        for one in hosts:
            one.answers.set()
        await until_received(hosts, 50)
        for hooks, webhook_id in users:
            await hooks.until(webhook_id, "delivered", 10)
    assert sorted(each for one in hosts for each in one.ids) == sorted(map(str, ids))
    assert most <= 8
    assert max(one.most for one in hosts) == 2


@pytest.mark.full
async def test_a_host_that_hangs_delays_nobody_else(quick: Settings) -> None:
    """It holds its own places, many deliveries waiting; others' arrive meanwhile, and other jobs go on."""
    bounds = {"webhook_calls": 8, "webhook_calls_per_host": 3}
    async with receivers(2) as (hanging, well), working(quick.model_copy(update=bounds)) as world:
        hanging.answers.clear()
        (stuck, stuck_id), (hooks, webhook_id) = await hooked(world, hanging), await hooked(world, well)
        await world.publish(*(created(stuck.user_id) for _ in range(60)))
        await eventually(lambda: hanging.here == 3, LONG_S)
        ids = await world.publish(*(created(hooks.user_id, mail=False) for _ in range(30)))
        await hooks.until(webhook_id, "delivered", 30)
        await world.until_all(ids, webhooks="done", analytics="done", notifications="done")
        assert hanging.here == hanging.most == 3
        assert len(await stuck.deliveries(stuck_id, state="pending", limit=100)) == 60


@pytest.mark.full
async def test_name_servers_that_hang_delay_nobody_else(quick: Settings) -> None:
    """Neither a thread nor a place is lost to them."""

    class Hanging(Names):
        async def __call__(self, name: str) -> list[str]:
            if name.startswith("hangs"):
                await asyncio.Event().wait()
            return await super().__call__(name)

    names = Hanging(hooks_example=[["127.0.0.1"]])
    bounds = {"webhook_calls": 8, "webhook_calls_per_host": 2, "webhook_connect_timeout_s": 1}
    async with receiving() as receiver, working(quick.model_copy(update=bounds | {"network": names.network})) as world:
        stuck, hooks = Hooks(world, uuid4()), Hooks(world, uuid4())
        await asyncio.gather(*(stuck.create(f"http://hangs{number}.example/") for number in range(6)))
        webhook = await hooks.create(receiver.url(host="hooks.example"))
        await world.publish(*(created(stuck.user_id) for _ in range(5)))
        await world.publish(*(created(hooks.user_id) for _ in range(20)))
        await hooks.until(webhook["id"], "delivered", 20)


@pytest.mark.full
async def test_two_workers_deliver_once(quick: Settings) -> None:
    """Whoever takes a delivery first makes the call."""
    async with receiving() as receiver, working(quick) as one, working(quick) as two:
        await one.until_ready()
        await two.until_ready()
        hooks, webhook_id = await hooked(one, receiver)
        ids = await one.publish(*(created(hooks.user_id) for _ in range(40)))
        delivered = await hooks.until(webhook_id, "delivered", 40)
        assert {row["attempts"] for row in delivered} == {1}
    assert sorted(receiver.ids) == sorted(map(str, ids))


@pytest.mark.full
async def test_kill_nine_with_calls_in_hand(quick: Settings, tmp_path: Path) -> None:
    """Nothing is lost: what was under way is called again with the same id once its lease is over, the rest as well."""
    async with receiving() as receiver:
        async with working(quick) as world:
            hooks, webhook_id = await hooked(world, receiver)
        receiver.on_request = lambda _: receiver.answers.clear() if len(receiver.received) == 10 else None
        async with worker_process(quick, tmp_path / "worker.log") as process:
            ids = await world.publish(*(created(hooks.user_id) for _ in range(40)))
            await until_received([receiver], 10)
            await eventually(lambda: receiver.here == tuning_of(quick).of(WebhookTuning).webhook_calls_per_host, LONG_S)
            await process.end(signal.SIGKILL)
        receiver.on_request = None
        receiver.answers.set()
        await end_leases(quick)
        async with working(quick) as world:
            hooks.world = world
            await hooks.until(webhook_id, "delivered", 40)
    assert set(receiver.ids) == set(map(str, ids))
    assert len(receiver.ids) - 40 <= tuning_of(quick).of(WebhookTuning).webhook_calls_per_host


@pytest.mark.full
async def test_a_worker_told_to_stop(quick: Settings) -> None:
    """What does not end within the grace period is recorded, and called again by the next worker at once."""
    async with receiving() as receiver:
        receiver.answers.clear()
        async with working(quick.model_copy(update={"shutdown_grace_s": 0.3})) as world:
            hooks, webhook_id = await hooked(world, receiver)
            await world.publish(created(hooks.user_id))
            await eventually(lambda: receiver.here, LONG_S)
        [row] = await world.fetch("SELECT * FROM jobs WHERE job = 'webhooks' AND lane IS NOT NULL")
        assert (row["state"], row["last_error"]) == ("retrying", "Interrupted: the worker was told to stop")
        [kept] = await world.fetch("SELECT * FROM webhook_deliveries")
        assert (kept["state"], kept["lease_until"], bool(kept["error"])) == ("pending", None, True)
        assert (await world.fetch("SELECT failing_since FROM webhooks"))[0]["failing_since"] is None
        receiver.answers.set()
        async with working(quick) as world:
            hooks.world = world
            await hooks.until(webhook_id, "delivered")
    assert len(set(receiver.ids)) == 1
