"""Limits while Redis is down, slow or empty: each gateway counts for itself, up to the same limits, and says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from shared.ids import new_id
from shared.observability import probes
from tests.support.backends import RedisBackend
from tests.support.gateway.patience import PATIENCE_S
from tests.support.gateway.world import Start, World
from tests.support.link import Link
from tests.support.waiting import eventually

SOON_S = 0.1


@contextmanager
def hasty(world: World) -> Iterator[None]:
    """Within the block, the gateway gives Redis up soon. Outside it, a Redis that is only slow is waited for."""
    gateway = world.gateway
    hurried = replace(gateway.tuning, redis_write_timeout_s=SOON_S)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gateway.limits.counts, "_timeout_s", SOON_S)
        for part in (gateway.limits, gateway.stale_store):
            patched.setattr(part, "_tuning", hurried)
        patched.setattr(probes, "CHECK_TIMEOUT_S", SOON_S)
        yield


async def orders(world: World, number: int) -> list[int]:
    """The statuses of so many orders of one user."""
    headers = world.bearer(new_id())
    return [(await world.client.post("/v1/orders", headers=headers)).status_code for _ in range(number)]


async def limits_are(world: World, status: str) -> bool:
    ready = (await world.client.get("/readyz")).json()
    return bool(ready["checks"]["limits"].startswith(status))


@pytest.mark.parametrize("trouble", ["down", "silent"])
async def test_limits_without_redis(start: Start, redis: RedisBackend, trouble: str) -> None:
    """The full limit holds for each gateway alone; readiness and metrics say so; all is well again with Redis."""
    async with (
        Link.to(redis.url) as link,
        start(redis_url=link.url, limit_write="3/year", limits_report_s=0.1, limits_redis_pause_s=0.1) as world,
    ):
        assert await orders(world, 4) == [200, 200, 200, 429]
        with hasty(world):
            if trouble == "down":
                await link.cut()
            else:
                link.black_hole()
            assert await orders(world, 4) == [200, 200, 200, 429]
            assert await limits_are(world, "CountedAlone")
            assert (await world.client.get("/v1/me", headers=world.bearer())).status_code == 200
        if trouble == "silent":
            await link.cut()
        await link.mend()
        await eventually(lambda: limits_are(world, "ok"))
        assert await orders(world, 4) == [200, 200, 200, 429]


async def test_only_one_request_waits_for_a_redis_that_hangs(
    start: Start, redis: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the setting says; those after it do not ask it."""
    async with (
        Link.to(redis.url) as link,
        start(redis_url=link.url, limits_report_s=PATIENCE_S, limits_redis_pause_s=PATIENCE_S) as world,
    ):
        await orders(world, 1)
        shared, asked = world.gateway.limits.counts._shared, 0
        assert shared is not None
        increase = shared.incr

        async def counting(key: str, expiry: int, amount: int = 1) -> int:
            nonlocal asked
            asked += 1
            return await increase(key, expiry, amount)

        monkeypatch.setattr(shared, "incr", counting)
        link.black_hole()
        with hasty(world):
            assert await orders(world, 10) == [200] * 10
        assert asked == 1


async def test_a_flushed_redis_gives_nothing_back_for_reads(start: Start) -> None:
    """Reads are remembered here; changes begin to be counted anew."""
    async with start(limit_read="20/year", limit_write="2/year", limits_report_s=0.02) as world:
        headers = world.bearer(new_id())
        for _ in range(20):
            assert (await world.client.get("/v1/me", headers=headers)).status_code == 200
        changes = [(await world.client.post("/v1/orders", headers=headers)).status_code for _ in range(3)]
        assert changes == [200, 200, 429]
        await world.redis.flushdb()
        assert (await world.client.get("/v1/me", headers=headers)).status_code == 429
        assert (await world.client.post("/v1/orders", headers=headers)).status_code == 200
