"""A service with several replicas, one of which is frozen: it accepts connections and does not respond."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.gateway.stub import StubService, answer_panel, hang, replies
from tests.support.gateway.world import Start, World
from tests.support.waiting import eventually

WAIT_S = 1.0
"""The maximum wait for a response here. A frozen replica does not respond; a healthy one does so at once."""


@asynccontextmanager
async def two(start: Start, **settings: float) -> AsyncIterator[tuple[World, StubService, StubService]]:
    async with (
        StubService().running() as frozen,
        StubService().running() as well,
        start(orders_url=f"{frozen.url},{well.url}", **settings) as world,
    ):
        yield world, frozen, well


@pytest.mark.parametrize("method", ["GET", pytest.param("POST", marks=pytest.mark.full)])
async def test_a_frozen_replica_is_left_out(start: Start, method: str) -> None:
    """It is skipped after one slow request until it recovers, and costs no further request."""
    async with two(start) as (world, frozen, _):
        world.gateway.settings.__dict__["pass_through_timeout_s"] = WAIT_S
        for path in ("*", "orders"):
            frozen.behaviours[path] = hang
        headers = world.bearer()

        async def left_out() -> bool:
            answers = [await world.client.request(method, "/v1/orders", headers=headers) for _ in range(6)]
            return all(answer.status_code == 200 for answer in answers)

        await eventually(left_out)
        asked = len(frozen.asked)
        assert await left_out()
        assert [request.target for request in frozen.asked[asked:] if request.target != "/livez"] == []
        assert (await world.client.get("/v1/dashboard", headers=headers)).json()["complete"]
        frozen.behaviours = {"*": replies(b"{}"), "orders": answer_panel}

        async def back() -> bool:
            asked = len(frozen.asked)
            await left_out()
            return any(request.target == "/v1/orders" for request in frozen.asked[asked:])

        await eventually(back)


async def test_who_is_left_out_is_asked_when_the_other_fails(start: Start) -> None:
    """A refused connection is worse than a replica that was slow once."""
    async with StubService().running() as slow, start(orders_url=f"{slow.url},http://127.0.0.1:1") as world:
        world.gateway.upstreams["orders"].replicas.failed(0)
        for _ in range(4):
            assert (await world.client.get("/v1/orders", headers=world.bearer())).status_code == 200
