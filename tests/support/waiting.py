"""Waiting for a condition instead of for a time: long enough for a machine that is busy with other things.

Looking costs processor time too, so the longer it takes, the less often it is looked: about every tenth of the time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable


def _pause(waited_s: float, shortest_s: float) -> float:
    return min(max(waited_s / 10, shortest_s), 0.5)


def wait_until(condition: Callable[[], object], within: float = 45.0) -> None:
    began = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began
        if waited_s > within:
            raise AssertionError(f"not within {within:.0f} s: {condition}")
        time.sleep(_pause(waited_s, 0.05))


async def eventually(condition: Callable[[], object], within: float = 45.0) -> None:
    """Wait until the condition holds; it may be a coroutine function."""
    began = time.monotonic()
    while not await _outcome(condition):
        waited_s = time.monotonic() - began
        if waited_s > within:
            raise AssertionError(f"not within {within:.0f} s: {condition}")
        await asyncio.sleep(_pause(waited_s, 0.02))


async def _outcome(condition: Callable[[], object]) -> object:
    outcome = condition()
    return await outcome if isinstance(outcome, Awaitable) else outcome
