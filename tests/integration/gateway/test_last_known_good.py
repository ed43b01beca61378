"""What is kept as last known, by one gateway and by several, in a real Redis."""

import asyncio
import json
import time
from uuid import UUID

import pytest

from services.gateway.dashboard.stale_store import StaleStore
from shared.ids import new_id
from tests.support.gateway.stub import Exchange, replies
from tests.support.gateway.world import Start, World
from tests.support.waiting import eventually


async def kept(world: World, user_id: UUID) -> list[str] | None:
    """What Redis has, with nothing left to be written."""
    found = await world.redis.get(f"lkg:orders:{user_id}")
    return None if found is None else json.loads(found)["data"]


async def shown(world: World, user_id: UUID) -> list[str]:
    """What a dashboard shows while the orders are away."""
    view = (await world.client.get("/v1/dashboard", headers=world.bearer(user_id))).json()["panels"]["orders"]
    assert view["status"] == "stale"
    data: list[str] = view["data"]
    return data


async def test_an_older_read_that_lands_later_does_not_replace_a_newer_one(start: Start) -> None:
    """The first read is held until the second has been answered and kept."""
    async with start() as world:
        user_id, go, held = new_id(), asyncio.Event(), asyncio.Event()

        async def answer(exchange: Exchange) -> None:
            first = not held.is_set()
            held.set()
            if first:
                await go.wait()
            data = ["old"] if first else ["new"]
            await exchange.reply_items({"orders": {str(user_id): data}})

        world.orders.behaviours["orders"] = answer
        headers = world.bearer(user_id)
        old = asyncio.create_task(world.client.get("/v1/dashboard", headers=headers))
        await held.wait()
        await world.client.get("/v1/dashboard", headers=headers | {"Cache-Control": "no-cache"})
        await eventually(lambda: _is(world, user_id, ["new"]))
        go.set()
        assert (await old).json()["panels"]["orders"]["data"] == ["old"]
        marker = new_id()
        await world.client.get("/v1/dashboard", headers=world.bearer(marker))
        await eventually(lambda: world.redis.exists(f"lkg:user:{marker}"))
        world.orders.behaviours["orders"] = replies(b"{}", 500)
        assert await shown(world, user_id) == ["new"]


async def _is(world: World, user_id: UUID, expected: list[str]) -> bool:
    return await kept(world, user_id) == expected


@pytest.mark.parametrize("first", [0, 1])
async def test_gateways_do_not_set_each_other_back(start: Start, first: int) -> None:
    """Whichever writes first, the read that was asked for last stays, however the gateways' clocks differ; what comes
    later replaces it, and so does anything where another key stood."""
    async with start() as here, start() as there:
        user_id = new_id()
        writers: list[StaleStore] = [here.gateway.stale_store, there.gateway.stale_store]
        ages = [0.0, 60.0]

        async def write(number: int, age_s: float, data: str) -> None:
            marker = str(new_id())
            writers[number].remember(str(user_id), {"orders": data.encode()}, time.monotonic() - age_s)
            writers[number].remember(marker, {"orders": b"[]"}, time.monotonic())
            await eventually(lambda: here.redis.exists(f"lkg:orders:{marker}"))

        for number in (first, 1 - first):
            await write(number, ages[number], json.dumps([f"{ages[number]}"]))
        assert await kept(here, user_id) == ["0.0"]
        await write(first, 0.0, '["later"]')
        assert await kept(here, user_id) == ["later"]
        await here.redis.delete(f"lkg:orders:{user_id}")
        await here.redis.lpush(f"lkg:orders:{user_id}", "a list")
        await write(1 - first, 0.0, '["text"]')
        assert await kept(here, user_id) == ["text"]


async def test_what_is_not_written_yet_is_known(start: Start) -> None:
    """A panel that has just been shown is not replaced by an older one while its write waits."""
    async with start(write_behind_pause_s=300) as world:
        user_id = new_id()
        await world.redis.set(f"lkg:orders:{user_id}", b'{"at": 1000, "data": ["old"]}')
        world.orders.behaviours["orders"] = replies(b'{"items": {"%s": ["new"]}}' % str(user_id).encode())
        await world.client.get("/v1/dashboard", headers=world.bearer(user_id))
        world.orders.behaviours["orders"] = replies(b"{}", 500)
        assert await shown(world, user_id) == ["new"]
