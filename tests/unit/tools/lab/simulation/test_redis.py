"""The faults of the model of Redis, as the real redis-py meets them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from services.gateway.container import redis_client
from services.gateway.settings import Tuning
from tests.support.simulation.models import served_model
from tests.support.waiting import eventually
from tools.lab.simulation.redis import RedisModel


class Clock:
    """Unix seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def served(seed: int = 1) -> AsyncIterator[tuple[RedisModel, Clock, Any]]:
    """Provide a server, its clock, and the gateway's client."""
    clock = Clock()
    model = RedisModel(Random(seed), clock)
    async with served_model(model) as address, redis_client(f"redis://{address}/0", Tuning()) as client:
        yield model, clock, client


def _has_connections(model: RedisModel, count: int) -> bool:
    return model.connections == count


async def test_keys_expire_by_the_given_clock() -> None:
    async with served() as (_, clock, client):
        await client.set("key", "value", ex=10)
        clock.now += 9.9
        assert await client.get("key") == b"value"
        clock.now += 0.2
        assert await client.get("key") is None


async def test_ids_of_a_stream_grow_even_if_the_clock_goes_back() -> None:
    async with served() as (_, clock, client):
        ids = []
        for moved_s in (0, 0, 5, -60):
            clock.now += moved_s
            ids.append((await client.xadd("stream", {"a": "b"})).decode())
        assert ids == ["1000000000-0", "1000000000-1", "1000005000-0", "1000005000-1"]


async def test_a_frozen_server_answers_when_it_is_thawed() -> None:
    """In the order of the requests, and with their effect."""
    async with served() as (model, _, client):
        await client.set("key", "old")
        model.freeze()
        waiting = [asyncio.create_task(client.set("key", "new")), asyncio.create_task(client.get("key"))]
        done, _ = await asyncio.wait(waiting, timeout=0.05)
        assert not done
        model.thaw()
        await asyncio.gather(*waiting)
        assert await client.get("key") == b"new"


async def test_a_restart_loses_connections_and_at_most_the_last_second() -> None:
    """A reader that waits learns of it; older data is there whatever the seed, newer data with some."""
    kept = set()
    for seed in range(12):
        async with served(seed) as (model, clock, client):
            await client.set("old", "value")
            clock.now += 2
            reading = asyncio.create_task(client.xread({"stream": "0"}, block=60_000))
            await asyncio.sleep(0)
            await client.set("new", "value")
            await eventually(partial(_has_connections, model, 2))
            model.restart()
            with pytest.raises(RedisConnectionError):
                await reading
            old, new = await client.mget("old", "new")
            assert old == b"value"
            kept.add(new)
    assert kept == {None, b"value"}


async def test_a_server_without_a_disk_comes_back_empty() -> None:
    async with served() as (model, clock, client):
        await client.set("key", "value")
        clock.now += 10
        model.lose_everything()
        await client.connection_pool.disconnect()
        assert await client.get("key") is None


async def test_what_the_model_does_not_have_is_noted() -> None:
    async with served() as (model, _, client):
        with pytest.raises(ResponseError, match="model of Redis"):
            await client.lpush("list", "value")
        with pytest.raises(ResponseError, match="model of Redis"):
            await client.eval("return 1", 0)
        assert len(model.not_modelled) == 2


async def test_replaced_strings_are_told() -> None:
    """With what was there before; a key that is new or was deleted replaces nothing."""
    async with served() as (model, _, client):
        told: list[tuple[bytes, bytes, bytes]] = []
        model.watch(lambda *replaced: told.append(replaced))
        for value in ("1", "2"):
            await client.set("key", value)
        await client.delete("key")
        await client.set("key", "3")
        assert told == [(b"key", b"1", b"2")]
