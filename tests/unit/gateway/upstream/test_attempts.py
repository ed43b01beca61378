"""One or two attempts: when the second is made, which of them counts, and how they end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf

import pytest

from services.gateway.upstream.attempts import Attempts
from services.gateway.upstream.errors import BadAnswer, TooLate, Unreachable, UpstreamFailed
from services.gateway.upstream.timers import Timers
from tests.support.waiting import eventually

Attempt = Callable[[], Awaitable[str]]


async def attempts(
    *each: Attempt, after_s: float = inf, repeats: bool = True, deadline: Callable[[], float] = lambda: inf
) -> tuple[str | UpstreamFailed, int]:
    """Return the outcome, and how many attempts there were. No timer remains."""
    made, timers = 0, Timers()

    async def attempt(number: int) -> str:
        nonlocal made
        made += 1
        return await each[number]()

    both = Attempts(attempt, deadline, time.monotonic() + after_s, lambda _: repeats, timers)
    try:
        return await both.outcome(), made
    except UpstreamFailed as failure:
        return failure, made
    finally:
        assert not len(timers)


def answers(text: str) -> Attempt:
    async def answer() -> str:
        return text

    return answer


def fails(failure: UpstreamFailed) -> Attempt:
    async def fail() -> str:
        raise failure

    return fail


async def later() -> None:
    """Let everything else run that can run."""
    for _ in range(20):
        await asyncio.sleep(0)


class Hanging:
    """An attempt without an end. Knows whether it was cancelled."""

    running = cancelled = False

    async def __call__(self) -> str:
        self.running = True
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "never"


async def test_one_attempt_is_enough() -> None:
    assert await attempts(answers("first"), answers("second")) == ("first", 1)


async def test_a_failure_is_followed_by_a_second_attempt() -> None:
    assert await attempts(fails(BadAnswer("first")), answers("second")) == ("second", 2)


async def test_two_failures_are_the_first() -> None:
    """It says more about the service than the second."""
    first = BadAnswer("first")
    assert await attempts(fails(first), fails(Unreachable("second"))) == (first, 2)


async def test_a_slow_attempt_is_joined_by_a_second() -> None:
    """The first answer counts, and the other attempt ends."""
    slow = Hanging()
    assert await attempts(slow, answers("second"), after_s=0.001) == ("second", 2)
    await asyncio.sleep(0)
    assert slow.cancelled


async def test_no_second_attempt_without_leave() -> None:
    first = BadAnswer("first")
    assert await attempts(fails(first), answers("second"), repeats=False) == (first, 1)


async def test_what_is_no_longer_needed_ends() -> None:
    """Both attempts."""
    slow, slower = Hanging(), Hanging()
    task = asyncio.create_task(attempts(slow, slower, after_s=0.001))
    await eventually(lambda: slower.running)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    assert slow.cancelled
    assert slower.cancelled


async def test_a_deadline_may_move() -> None:
    """Somebody who waits longer has joined meanwhile."""
    ends = time.monotonic() + 0.01

    async def work() -> str:
        nonlocal ends
        first, ends = ends, ends + 60
        await eventually(lambda: time.monotonic() > first)
        return "done"

    assert await attempts(work, deadline=lambda: ends) == ("done", 1)


@pytest.mark.parametrize("left_s", [-1, 0.01], ids=["over", "soon over"])
async def test_a_deadline_ends_the_work(left_s: float) -> None:
    hanging, ends = Hanging(), time.monotonic() + left_s
    outcome, _ = await attempts(hanging, deadline=lambda: ends)
    assert isinstance(outcome, TooLate)
    assert hanging.cancelled
    assert (task := asyncio.current_task()) is not None
    assert not task.cancelling()


async def test_a_deadline_ends_both_attempts() -> None:
    slow, slower, ends = Hanging(), Hanging(), time.monotonic() + 0.02
    outcome, made = await attempts(slow, slower, after_s=0.001, deadline=lambda: ends)
    assert (type(outcome), made) == (TooLate, 2)
    await asyncio.sleep(0)
    assert slow.cancelled
    assert slower.cancelled


async def test_a_deadline_ends_the_second_attempt() -> None:
    """After the first has failed."""
    slow, ends = Hanging(), time.monotonic() + 0.02
    outcome, made = await attempts(fails(BadAnswer("first")), slow, deadline=lambda: ends)
    assert (type(outcome), made) == (TooLate, 2)
    assert slow.cancelled


async def test_a_failed_second_attempt_leaves_the_first() -> None:
    """It still may succeed."""
    failed = asyncio.Event()

    async def first() -> str:
        await failed.wait()
        await later()
        return "first"

    async def second() -> str:
        failed.set()
        raise BadAnswer("second")

    assert await attempts(first, second, after_s=0.001) == ("first", 2)


async def test_a_first_attempt_that_fails_late_waits_for_the_second() -> None:
    began = asyncio.Event()

    async def first() -> str:
        await began.wait()
        raise BadAnswer("first")

    async def second() -> str:
        began.set()
        await later()
        return "second"

    assert await attempts(first, second, after_s=0.001) == ("second", 2)


async def test_a_cancelled_caller_is_not_a_late_service() -> None:
    """Even if the deadline is over at the same moment."""
    hanging, timers, ends = Hanging(), Timers(), inf

    async def attempt(_number: int) -> str:
        return await hanging()

    both = Attempts(attempt, lambda: ends, inf, lambda _: False, timers)
    task = asyncio.create_task(both.outcome())
    await eventually(lambda: hanging.running)
    ends = 0.0
    both.look(time.monotonic())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
