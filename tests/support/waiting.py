"""Waiting for a condition instead of for a time: long enough for a machine that is busy with other things."""

import asyncio
import time
from collections.abc import Awaitable, Callable


def wait_until(condition: Callable[[], object], within: float = 45.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s: {condition}")
        time.sleep(0.05)


async def eventually(condition: Callable[[], object], within: float = 45.0) -> None:
    """The condition may be a coroutine function."""
    deadline = time.monotonic() + within
    while not await _outcome(condition):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s: {condition}")
        await asyncio.sleep(0.02)


async def _outcome(condition: Callable[[], object]) -> object:
    outcome = condition()
    return await outcome if isinstance(outcome, Awaitable) else outcome
