"""Background tasks that fail."""

import asyncio

import pytest
from structlog.testing import capture_logs

from shared.server.background import Background, Permanent, RestartPolicy, TaskFailing, Work
from tests.support.metrics import sample
from tests.support.waiting import eventually

SOON = RestartPolicy(first_pause_s=0.001, longest_pause_s=0.001, settled_s=0)
LATER = RestartPolicy(first_pause_s=60, longest_pause_s=60)


def failing(times: int, error: Exception) -> tuple[list[int], Work]:
    """Work that fails this many times and then runs until it is cancelled, and its starts."""
    begun: list[int] = []

    async def work() -> None:
        begun.append(len(begun))
        if len(begun) <= times:
            raise error
        await asyncio.Event().wait()

    return begun, work


async def test_a_task_that_fails_begins_again() -> None:
    """There is one traceback in the log and a count; the process and other tasks continue."""
    before = sample("background_restarts_total", {"task": "flaky"}) or 0
    begun, work = failing(2, OSError("gone"))
    others, other = failing(0, OSError())
    with capture_logs() as logs:
        async with Background(pytest.fail, SOON) as background:
            background.start("flaky", work)
            background.start("other", other)
            await eventually(lambda: len(begun) == 3)
            await eventually(lambda: succeeds(background))
        assert background.failure is None
    assert others == [0]
    assert sample("background_restarts_total", {"task": "flaky"}) == before + 2
    told = [entry for entry in logs if entry.get("task") == "flaky" and "error" in entry]
    assert len(told) == 2
    assert [entry["exc_info"] for entry in told] == [True, False]


async def test_a_pause_shows_in_readiness() -> None:
    """Readiness shows the task's name and its error, and the pause does not delay the end."""
    _, work = failing(1, OSError("gone"))
    async with asyncio.timeout(30), Background(pytest.fail, LATER) as background:
        task = background.start("flaky", work)
        await asyncio.sleep(0)
        with pytest.raises(TaskFailing, match=r"flaky .*gone"):
            await background.check()
    assert task.cancelled()
    await background.check()


@pytest.mark.parametrize(
    "error",
    [OSError("away"), ValueError("nonsense"), TimeoutError(), ExceptionGroup("many", [OSError()]), RecursionError()],
    ids=repr,
)
async def test_a_task_outlives_any_number_of_failures(error: Exception) -> None:
    """It is repeated without a limit, and the process never stops: an outage may have any length."""
    begun, work = failing(99, error)
    async with Background(pytest.fail, SOON) as background:
        task = background.start("patient", work)
        await eventually(lambda: len(begun) == 100)
        assert not task.done()
    assert background.failure is None


async def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    """A library may raise one for a lost connection. The task starts again."""
    begun: list[bool] = []

    async def work() -> None:
        begun.append(True)
        if len(begun) < 3:
            lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            lost.cancel()
            await lost
        await asyncio.Event().wait()

    async with Background(pytest.fail, SOON) as background:
        task = background.start("followed", work)
        await eventually(lambda: len(begun) == 3)
        assert not task.done()
    assert task.cancelled()


async def test_an_error_in_place_of_a_cancellation_ends_the_task() -> None:
    """Some libraries answer a cancellation with their own error. At the end that is not a failure."""

    async def rude() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("closed") from None

    async with Background(pytest.fail, SOON) as background:
        task = background.start("rude", rude)
        await asyncio.sleep(0)
    assert task.cancelled()
    assert background.failure is None


async def test_repeated_work_reports_each_outage_until_it_succeeds() -> None:
    """A failed round is repeated after the policy's pause, not after the interval; success ends the report."""
    away, rounds = asyncio.Event(), []

    async def work() -> None:
        rounds.append(True)
        if away.is_set():
            raise OSError("away")

    async with Background(pytest.fail, SOON) as background:
        background.every(0, "quick", work)
        await eventually(lambda: len(rounds) > 3)
        await background.check()
        away.set()
        await eventually(lambda: fails(background))
        with pytest.raises(TaskFailing, match=r"quick .*away"):
            await background.check()
        away.clear()
        await eventually(lambda: succeeds(background))


async def test_work_between_rounds_does_not_wait_out_its_interval_after_a_failure() -> None:
    """An hourly round that fails is repeated soon, and then waits its hour."""
    begun: list[bool] = []

    async def work() -> None:
        begun.append(True)
        if len(begun) < 5:
            raise OSError("away")

    async with Background(pytest.fail, SOON) as background:
        background.every(3600, "hourly", work)
        await eventually(lambda: len(begun) == 5)
        await eventually(lambda: succeeds(background))
    assert len(begun) == 5


async def succeeds(background: Background) -> bool:
    try:
        await background.check()
    except TaskFailing:
        return False
    return True


async def fails(background: Background) -> bool:
    return not await succeeds(background)


async def test_what_retrying_does_not_mend_stops_the_process_at_once() -> None:
    """There is no second attempt."""
    stopped: list[bool] = []
    begun, work = failing(99, Permanent("queue x has other arguments"))
    async with Background(lambda: stopped.append(True), LATER) as background:
        await asyncio.wait([background.start("relay", work)])
    assert begun == [0]
    assert (str(background.failure), stopped) == ("queue x has other arguments", [True])


async def test_a_task_that_ends_is_not_begun_again() -> None:
    """A task that has ended is done."""
    begun: list[bool] = []

    async def short() -> None:
        begun.append(True)

    async with Background(pytest.fail, SOON) as background:
        task = background.start("short", short)
        await task
        await eventually(lambda: task not in background._tasks)
    assert begun == [True]
