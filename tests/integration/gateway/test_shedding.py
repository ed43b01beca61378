"""A gateway with too much in hand says so at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.integration.gateway.conftest import Start, World
from tests.integration.gateway.stub import Exchange
from tests.waiting import eventually

SLOW = "/v1/me"


@asynccontextmanager
async def in_hand(world: World, number: int) -> AsyncIterator[None]:
    """So many requests are waiting for the users service."""
    go_on = asyncio.Event()
    waiting = 0

    async def wait(exchange: Exchange) -> None:
        nonlocal waiting
        waiting += 1
        await go_on.wait()
        await exchange.reply(b"{}")

    world.users.behaviours[SLOW] = wait
    tasks = [asyncio.create_task(world.client.get(SLOW, headers=world.bearer())) for _ in range(number)]
    await eventually(lambda: waiting == number)
    try:
        yield
    finally:
        go_on.set()
        assert [answer.status_code for answer in await asyncio.gather(*tasks)] == [200] * number


def shed(answer: httpx.Response) -> bool:
    """503 as a problem that says when to come again."""
    if answer.status_code != 503 or answer.json()["code"] != "overloaded":
        return False
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return True


async def test_what_is_too_much_is_refused_at_once(start: Start) -> None:
    """Whatever is in hand is finished, probes are answered, and afterwards all is as before."""
    async with start(shed_most_in_hand=4) as world:
        async with in_hand(world, 4):
            assert shed(await world.client.get("/v1/dashboard", headers=world.bearer()))
            assert shed(await world.client.post("/v1/orders", headers=world.bearer(), content=b"x" * 1000))
            assert (await world.client.get("/livez")).status_code == 200
            assert (await world.client.get("/readyz")).status_code in (200, 503)
        assert (await world.client.get("/v1/dashboard", headers=world.bearer())).status_code == 200


async def test_what_can_wait_is_refused_first(start: Start) -> None:
    """Batches and uploads at half of what is allowed, while dashboards are answered."""
    async with start(shed_most_in_hand=8) as world, in_hand(world, 4):
        admin = world.bearer(role="admin")
        assert shed(await world.client.post("/v1/dashboards/batch", headers=admin, json={"user_ids": []}))
        assert shed(await world.client.post("/v1/imports", headers=admin, content=b"x"))
        assert (await world.client.get("/v1/dashboard", headers=admin)).status_code == 200


async def test_a_slow_service_is_no_reason_to_refuse(start: Start) -> None:
    """Requests that wait for it are many, but the event loop is on time."""
    async with start(shed_tick_s=0.01, shed_least_in_hand=1, shed_lag_s=5) as world, in_hand(world, 50):
        await asyncio.sleep(0.1)  # ten looks at the loop
        assert (await world.client.get("/v1/dashboard", headers=world.bearer())).status_code == 200
