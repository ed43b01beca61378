"""Background tasks that fail."""

import asyncio

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared.background import Background, Permanent, TaskPaused, Work
from shared.restarts import RestartPolicy
from tests.support.waiting import eventually

SOON = RestartPolicy(first_pause_s=0.001, longest_pause_s=0.001, most=3, within_s=60)
LATER = RestartPolicy(first_pause_s=60, longest_pause_s=60)


def failing(times: int, error: Exception) -> tuple[list[int], Work]:
    """Work that fails so many times, and after that goes on until it is cancelled; and each of its beginnings."""
    begun: list[int] = []

    async def work() -> None:
        begun.append(len(begun))
        if len(begun) <= times:
            raise error
        await asyncio.Event().wait()

    return begun, work


async def test_a_task_that_fails_begins_again() -> None:
    """With a traceback in the log and a count; the process goes on, and other tasks do not notice."""
    before = REGISTRY.get_sample_value("background_restarts_total", {"task": "flaky"}) or 0
    begun, work = failing(2, OSError("gone"))
    others, other = failing(0, OSError())
    with capture_logs() as logs:
        async with Background(pytest.fail, SOON) as background:
            background.start("flaky", work)
            background.start("other", other)
            await eventually(lambda: len(begun) == 3)
            await background.check()
        assert background.failure is None
    assert others == [0]
    assert REGISTRY.get_sample_value("background_restarts_total", {"task": "flaky"}) == before + 2
    told = [entry for entry in logs if entry.get("task") == "flaky"]
    assert len(told) == 2
    assert all(entry["exc_info"] for entry in told)


async def test_a_pause_shows_in_readiness() -> None:
    """With the task's name and its error; and it does not hold up the end."""
    _, work = failing(1, OSError("gone"))
    async with asyncio.timeout(30), Background(pytest.fail, LATER) as background:
        task = background.start("flaky", work)
        await asyncio.sleep(0)
        with pytest.raises(TaskPaused, match=r"flaky .*gone"):
            await background.check()
    assert task.cancelled()
    await background.check()


async def test_a_task_that_fails_again_and_again_stops_the_process() -> None:
    """Its last error is kept, and the process is asked to end, once."""
    stopped: list[bool] = []
    begun, work = failing(99, OSError("always"))
    async with Background(lambda: stopped.append(True), SOON) as background:
        task = background.start("broken", work)
        await asyncio.wait([task])
    assert len(begun) == SOON.most + 1
    assert (str(background.failure), stopped) == ("always", [True])


async def test_what_retrying_does_not_mend_stops_the_process_at_once() -> None:
    """Without a second attempt."""
    stopped: list[bool] = []
    begun, work = failing(99, Permanent("queue x has other arguments"))
    async with Background(lambda: stopped.append(True), LATER) as background:
        await asyncio.wait([background.start("relay", work)])
    assert begun == [0]
    assert (str(background.failure), stopped) == ("queue x has other arguments", [True])


async def test_a_task_that_ends_is_not_begun_again() -> None:
    """Its work is done."""
    begun: list[bool] = []

    async def short() -> None:
        begun.append(True)

    async with Background(pytest.fail, SOON) as background:
        task = background.start("short", short)
        await task
        await eventually(lambda: task not in background._tasks)
    assert begun == [True]
