"""The end of background tasks."""

import asyncio

import pytest

from shared.server.background import Background, to_the_end


class Impatient(Background):
    CANCEL_AGAIN_S = 0.01


async def test_a_task_that_loses_a_cancellation_is_ended_all_the_same() -> None:
    """A library may answer a cancellation with its own error, and the task continues: it is cancelled again."""
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while lost < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
        await asyncio.Event().wait()

    async with Impatient() as background:
        task = background.start("stubborn", stubborn)
        await asyncio.sleep(0)
    assert task.cancelled()
    assert lost == 2
    assert background.failure is None


async def test_what_is_finished_to_the_end() -> None:
    """Work that must finish does, however often its callers are cancelled; they are cancelled afterwards."""
    may_end = asyncio.Event()
    waiting = asyncio.create_task(to_the_end(wait_for(may_end)))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def wait_for(event: asyncio.Event) -> None:
    await event.wait()
