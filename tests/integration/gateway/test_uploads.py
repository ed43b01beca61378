"""Uploads through the gateway."""

import asyncio
from collections.abc import AsyncIterator

from tests.support.gateway.stub import replies
from tests.support.gateway.world import Start

PATH = "/v1/imports"


async def slowly(count: int, pause_s: float) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 1000
        await asyncio.sleep(pause_s)


async def falling_silent() -> AsyncIterator[bytes]:
    yield b"x" * 1000
    await asyncio.Event().wait()


async def test_an_upload_may_take_longer_than_an_answer(start: Start) -> None:
    """Neither the timeout of other requests nor that of a silent service ends it while it continues."""
    async with start(pass_through_timeout_s=1.0, read_timeout_s=1.0) as world:
        world.worker.behaviours[PATH] = replies(b"{}")
        answer = await world.client.post(PATH, content=slowly(20, 0.06), headers=world.bearer())
        assert answer.status_code == 200, answer.text
        assert world.worker.received[-1].size == 20_000


async def test_an_upload_that_falls_silent_is_ended(start: Start) -> None:
    """The response is 408, long before the whole upload would have been too slow."""
    async with start(upload_idle_s=0.2) as world:
        world.worker.behaviours[PATH] = replies(b"{}")
        answer = await world.client.post(PATH, content=falling_silent(), headers=world.bearer())
        assert (answer.status_code, answer.json()["code"]) == (408, "body_too_slow")


async def test_an_upload_has_a_limit_of_its_own(start: Start) -> None:
    """The limit is higher than that of other bodies; a larger upload is 413, with or without an announced length."""
    async with start(max_body_bytes=1000, upload_max_bytes=5000) as world:
        world.worker.behaviours[PATH] = replies(b"{}")
        headers = world.bearer()
        assert (await world.client.post(PATH, content=b"x" * 5000, headers=headers)).status_code == 200
        assert (await world.client.post(PATH, content=b"x" * 5001, headers=headers)).status_code == 413
        assert (await world.client.post(PATH, content=slowly(6, 0), headers=headers)).status_code == 413
        assert (await world.client.post("/v1/orders", content=b"x" * 1001, headers=headers)).status_code == 413
