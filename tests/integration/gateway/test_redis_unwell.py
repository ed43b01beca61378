"""A Redis that answers, but cannot do what it is asked."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.gateway.world import Start, World
from tests.support.waiting import eventually

LIMITS = {"limits_report_s": 0.1, "limits_redis_pause_s": 0.1, "revocation_block_s": 0.2}


async def readiness(world: World) -> dict[str, Any]:
    said: dict[str, Any] = (await world.client.get("/readyz")).json()
    return said


async def is_well(world: World) -> bool:
    said = await readiness(world)
    return all(said["checks"][name] == "ok" for name in ("redis", "limits", "revocations"))


async def until_well(world: World) -> None:
    """A failure shows which check fails."""
    try:
        await eventually(partial(is_well, world))
    except AssertionError as failure:
        raise AssertionError(await readiness(world)) from failure


async def says_wrong(world: World, check: str) -> bool:
    said = await readiness(world)
    return bool(said["status"] == "degraded" and said["checks"][check] != "ok")


async def is_deaf(world: World) -> bool:
    """Return whether a read of the revocations has failed."""
    return "cannot be read" in (await readiness(world))["checks"]["revocations"]


@contextlib.asynccontextmanager
async def full(redis: Redis) -> AsyncIterator[None]:
    await redis.config_set("maxmemory-policy", "noeviction")
    await redis.config_set("maxmemory", "1")
    try:
        yield
    finally:
        await redis.config_set("maxmemory", "0")


async def test_a_full_redis_degrades(start: Start) -> None:
    """Without one write of a user: and the gateway serves as before."""
    async with start(**LIMITS) as world:
        await until_well(world)
        async with full(world.redis):
            for check in ("redis", "limits"):
                await eventually(partial(says_wrong, world, check))
            assert (await world.client.get("/v1/dashboard", headers=world.bearer())).status_code < 500
        await until_well(world)


@pytest.mark.parametrize("kind", ["string", "list", "hash"])
async def test_a_stream_of_a_wrong_type_degrades(start: Start, kind: str) -> None:
    """Revocations can neither be told nor heard; both work again once the key is gone."""
    async with start(**LIMITS) as world:
        await until_well(world)
        await world.redis.delete("revoked")
        match kind:
            case "string":
                await world.redis.set("revoked", "x")
            case "list":
                await world.redis.rpush("revoked", "x")
            case _:
                await world.redis.hset("revoked", "x", "y")
        await eventually(partial(says_wrong, world, "revocations"))
        await eventually(partial(is_deaf, world))
        await world.redis.delete("revoked")
        await until_well(world)
