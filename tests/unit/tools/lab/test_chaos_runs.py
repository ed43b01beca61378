"""The counting of runs finds each planted fault, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tools.lab.chaos.journal import Journal
from tools.lab.chaos.runs import Added, Found, Run, checks, figures, lateness_s

BEGAN = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
AT_ONCE, DELAYED, KEYED, SUPPRESSED, LATER, REQUESTED = (UUID(int=number) for number in range(1, 7))
TICKS = [UUID(int=100 + number) for number in range(3)]


def at(seconds: float) -> datetime:
    """Return a time of the run; its ticks are at 30, 90 and 150 s."""
    return BEGAN + timedelta(seconds=seconds)


TIMES = [at(30), at(90), at(150)]
JOURNAL = Journal(tasks={AT_ONCE, DELAYED, KEYED, SUPPRESSED}, requested_runs={REQUESTED}, ticks_end=at(210))
FOUND = Found(
    added=(
        Added(AT_ONCE, None, None, at(1)),
        Added(DELAYED, None, at(11), at(1)),
        Added(KEYED, "a", None, at(1)),
        Added(SUPPRESSED, "a", None, at(1.1)),
        Added(LATER, "a", None, at(5)),
    ),
    runs=(
        Run(AT_ONCE, None, None, at(1.1)),
        Run(DELAYED, None, None, at(11.5)),
        Run(KEYED, None, at(1.1), at(1.5)),
        Run(LATER, None, at(5.1), at(5.5)),
        Run(REQUESTED, at(7), None, at(7.1)),
        *(Run(tick, time, None, time) for tick, time in zip(TICKS, TIMES, strict=True)),
    ),
    starts={KEYED: at(1.4), LATER: at(5.4)},
    stored={REQUESTED: at(7), **dict(zip(TICKS, TIMES, strict=True))},
    requested=(REQUESTED,),
    resumed_at=at(0),
)


def without(run_id: UUID) -> Found:
    return replace(FOUND, runs=[run for run in FOUND.runs if run.id != run_id])


def twice(run_id: UUID) -> Found:
    return replace(FOUND, runs=[*FOUND.runs, *(run for run in FOUND.runs if run.id == run_id)])


def changed(run_id: UUID, **values: Any) -> Found:
    runs = [replace(run, **values) if run.id == run_id else run for run in FOUND.runs]
    return replace(FOUND, runs=runs)


def complaints(found: Found, journal: Journal = JOURNAL) -> set[str]:
    return {check.name for check in checks(journal, found) if check.fails and check.found}


def remarks(found: Found) -> set[str]:
    return {check.name for check in checks(JOURNAL, found) if not check.fails and check.found}


def test_each_task_and_tick_once_is_right() -> None:
    assert complaints(FOUND) == set()
    assert remarks(FOUND) == set()


def test_a_run_without_tasks_and_schedule_is_right() -> None:
    assert complaints(Found(), Journal()) == set()


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        pytest.param(without(AT_ONCE), "tasks lost", id="a task"),
        pytest.param(without(DELAYED), "tasks lost", id="a delayed task"),
        pytest.param(
            replace(FOUND, added=FOUND.added[:-1]), "tasks run although they were rolled back", id="a rolled-back task"
        ),
        pytest.param(
            replace(without(AT_ONCE), added=FOUND.added[1:]), "tasks lost", id="a task whose commit was confirmed"
        ),
        pytest.param(twice(DELAYED), "tasks run twice", id="a repeated task"),
        pytest.param(twice(KEYED), "tasks run twice", id="a repeated task with a key"),
        pytest.param(changed(DELAYED, began_at=at(10.9)), "delayed tasks run too early", id="an early task"),
        pytest.param(without(LATER), "tasks with a key lost", id="a task after the last start of its key"),
        pytest.param(changed(LATER, seen_at=at(1.3)), "tasks with a key run again", id="a task seen before a start"),
        pytest.param(without(TICKS[1]), "ticks lost", id="a tick"),
        pytest.param(without(TICKS[0]), "ticks lost", id="the first tick"),
        pytest.param(without(TICKS[2]), "ticks lost", id="the last tick"),
        pytest.param(twice(TICKS[1]), "ticks run twice", id="a repeated tick"),
        pytest.param(changed(TICKS[1], id=UUID(int=9), tick=at(90.5)), "extra ticks", id="a tick at another time"),
        pytest.param(without(REQUESTED), "requested runs lost", id="a requested run"),
        pytest.param(twice(REQUESTED), "requested runs repeated", id="a repeated requested run"),
    ],
)
def test_a_planted_fault_is_found(found: Found, complaint: str) -> None:
    assert complaint in complaints(found)


def test_both_runs_of_a_tick_with_different_ids_are_found() -> None:
    """Two workers that add the same tick under different ids repeat it."""
    repeated = replace(FOUND, runs=[*FOUND.runs, Run(UUID(int=9), TIMES[1], None, TIMES[1])])
    assert complaints(repeated) == {"ticks run twice"}


def test_a_suppressed_task_needs_a_later_start() -> None:
    """Without any start of its key, every one of its tasks is lost."""
    runs = [run for run in FOUND.runs if run.id not in (KEYED, LATER)]
    assert complaints(replace(FOUND, runs=runs)) == {"tasks with a key lost"}


def test_a_task_that_its_relay_saw_late_may_run_again() -> None:
    """It was committed before the other one started, but its relay read it afterwards."""
    both = replace(
        FOUND,
        runs=[*FOUND.runs, Run(SUPPRESSED, None, at(1.6), at(2))],
        starts={**FOUND.starts, SUPPRESSED: at(1.9)},
    )
    assert complaints(both) == set()
    assert remarks(both) == {"tasks with a key run again, as documented: seen after a start"}


def test_a_late_tick_stands_for_those_that_were_missed() -> None:
    """The first tick was stored after the second one was due. It does not stand for the third one."""
    late = replace(without(TICKS[1]), stored={**FOUND.stored, TICKS[0]: at(95)})
    assert complaints(late) == set()
    assert remarks(late) == {"ticks missed, as documented"}
    assert complaints(replace(late, runs=[run for run in late.runs if run.id != TICKS[2]])) == {"ticks lost"}


def test_a_tick_that_waits_stands_for_those_that_were_missed() -> None:
    """The first tick started after the second one was due, because RabbitMQ was away."""
    late = changed(TICKS[0], began_at=at(95))
    waited = replace(late, runs=[run for run in late.runs if run.id != TICKS[1]])
    assert complaints(waited) == set()
    assert remarks(waited) == {"ticks missed, as documented"}


def test_a_tick_before_the_run_is_ignored() -> None:
    """The worker started before the schedule was paused for the first time."""
    early = Run(UUID(int=9), at(-30), None, at(-30))
    assert complaints(replace(FOUND, runs=[*FOUND.runs, early])) == set()


def test_the_tick_at_the_end_may_run_or_not() -> None:
    """The schedule is paused at that time."""
    end = Run(UUID(int=9), at(210), None, at(210))
    assert complaints(replace(FOUND, runs=[*FOUND.runs, end])) == set()
    assert complaints(replace(FOUND, runs=[*FOUND.runs, replace(end, tick=at(270))])) == {"extra ticks"}


def test_lateness_counts_from_the_due_time() -> None:
    assert lateness_s(FOUND) == [0.5]
    assert figures(JOURNAL, FOUND)["delayed tasks: start after the due time, p50 / p95"] == "0.50 / 0.50 s"
