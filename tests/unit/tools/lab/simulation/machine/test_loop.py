"""The loop of simulations: its time, its order, and the end of a process."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.support.simulation.loops import close, pass_time
from tools.lab.simulation.machine.loop import BEGINNING_S, NothingLeft, OutOfTime, SimulationLoop

HOUR_S = 3600


def run(loop: SimulationLoop, work: Coroutine[Any, Any, Any]) -> Any:
    """Run the work, and close the loop."""
    try:
        return loop.run_until_complete(work)
    finally:
        close(loop)


def interleaving(seed: int) -> list[str]:
    """Return the order in which two processes with three callbacks each run."""
    loop, seen = SimulationLoop(seed), list[str]()

    async def main() -> None:
        for name in "ab":
            process = loop.new_process(name)
            for number in range(3):
                loop.call_soon(seen.append, f"{name}{number}", context=process.context.copy())
        await pass_time(1)

    run(loop, main())
    return seen


def test_waiting_takes_virtual_time_only() -> None:
    """An hour passes between two callbacks."""
    loop = SimulationLoop(1)
    run(loop, pass_time(HOUR_S))
    assert BEGINNING_S + HOUR_S <= loop.time() < BEGINNING_S + HOUR_S + 1


def test_the_seed_chooses_the_process_and_each_keeps_its_order() -> None:
    """Processes interleave in many ways; within one, callbacks run as they were scheduled."""
    orders = {tuple(interleaving(seed)) for seed in range(30)}
    assert len(orders) > 5
    for order in orders:
        for name in "ab":
            assert [each for each in order if each[0] == name] == [f"{name}{number}" for number in range(3)]


def test_the_same_seed_has_the_same_order() -> None:
    """Nothing but the seed decides."""
    assert interleaving(7) == interleaving(7)


def test_a_killed_process_runs_nothing_more() -> None:
    """No `finally` of its tasks runs, none of its timers fires, and others go on."""
    loop, seen = SimulationLoop(1), list[str]()

    async def work() -> None:
        try:
            await pass_time(10)
            seen.append("slept")
        finally:
            seen.append("finally")

    async def main() -> None:
        process = loop.new_process("victim")
        loop.spawn(process, work())
        loop.call_later(5, seen.append, "timer", context=process.context.copy())
        await pass_time(1)
        loop.kill(process)
        await pass_time(100)
        assert seen == []

    run(loop, main())


def test_a_process_is_killed_after_a_number_of_callbacks() -> None:
    """Any place between two callbacks can be the last."""
    loop, seen = SimulationLoop(1), list[int]()

    async def work() -> None:
        for number in range(100):
            seen.append(number)
            await asyncio.sleep(0)

    async def main() -> None:
        process = loop.new_process("victim")
        process.steps_left = 10
        loop.spawn(process, work())
        await pass_time(1)
        assert not process.is_alive

    run(loop, main())
    assert seen == list(range(11))


def test_a_frozen_process_goes_on_later() -> None:
    """Its callbacks wait, and those of others do not."""
    loop, seen = SimulationLoop(1), list[tuple[str, bool]]()

    async def note(name: str) -> None:
        await pass_time(1)
        seen.append((name, loop.now >= BEGINNING_S + 30))

    async def main() -> None:
        frozen, other = loop.new_process("frozen"), loop.new_process("other")
        tasks = [loop.spawn(frozen, note("frozen")), loop.spawn(other, note("other"))]
        loop.freeze(frozen, 30)
        await asyncio.wait(tasks)

    run(loop, main())
    assert seen == [("other", False), ("frozen", True)]


def test_what_never_happens_is_reported() -> None:
    """Without a ready callback or a timer, nothing can happen any more."""
    loop = SimulationLoop(1)

    async def main() -> None:
        await loop.create_future()

    with pytest.raises(NothingLeft):
        run(loop, main())


def test_a_simulation_has_a_limit() -> None:
    """Endless waiting ends at the loop's limit."""
    loop = SimulationLoop(1, until_s=BEGINNING_S + 10)
    with pytest.raises(OutOfTime):
        run(loop, pass_time(HOUR_S))


@pytest.mark.parametrize("fails", [False, True])
def test_functions_in_an_executor_run_in_the_loop(*, fails: bool) -> None:
    """Their result, or their error, arrives after a while."""
    loop = SimulationLoop(1)

    def work() -> int:
        if fails:
            raise ValueError("no")
        return 42

    async def main() -> Any:
        return await asyncio.to_thread(work)

    if fails:
        with pytest.raises(ValueError, match="no"):
            run(loop, main())
    else:
        assert run(loop, main()) == 42


def test_an_error_that_nobody_handles_is_kept() -> None:
    """A callback that raises does not end the simulation."""
    loop = SimulationLoop(1)

    async def main() -> None:
        loop.call_soon(lambda: 1 / 0)
        await pass_time(1)

    run(loop, main())
    assert isinstance(loop.errors[0]["exception"], ZeroDivisionError)
