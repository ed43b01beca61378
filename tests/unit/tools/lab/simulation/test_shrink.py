"""Shrinking finds the steps that matter."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tools.lab.simulation import plan, shrink
from tools.lab.simulation.plan import Step

STEPS = [Step(float(number), "order", {"number": number}) for number in range(40)]


def failing_with(*needed: int) -> shrink.Fails:
    """Return a simulation that fails if these steps are there."""

    def fails(candidates: Iterable[Sequence[Step]]) -> Iterator[tuple[Sequence[Step], bool]]:
        for candidate in candidates:
            numbers = {step.facts["number"] for step in candidate}
            yield candidate, numbers.issuperset(needed)

    return fails


def test_only_the_needed_steps_remain() -> None:
    """Two steps that are far apart are found among forty."""
    shortest = shrink.shrink(STEPS, failing_with(3, 31))
    assert [step.facts["number"] for step in shortest] == [3, 31]


def test_a_failure_without_steps_needs_none() -> None:
    """What fails anyway is replayed without any step."""
    assert shrink.shrink(STEPS, failing_with()) == []


def test_shrinking_ends_after_a_number_of_runs() -> None:
    """With few runs the plan is only somewhat shorter, and still fails."""
    shortest = shrink.shrink(STEPS, failing_with(3, 31), most_runs=6)
    assert {3, 31} <= {step.facts["number"] for step in shortest}


def test_a_plan_can_be_written_and_read(tmp_path: Path) -> None:
    """Replaying a file runs the same steps."""
    path, steps = tmp_path / "plan.json", plan.make(3)
    shrink.write(path, 3, "ack-first", steps)
    seed, mutation, found = shrink.read(path)
    assert (seed, mutation) == (3, "ack-first")
    assert [str(step) for step in found] == [str(Step(step.at, step.kind, _as_json(step.facts))) for step in steps]


def test_the_seed_makes_the_plan() -> None:
    """The same seed makes the same steps, another one others."""
    assert plan.make(3) == plan.make(3) != plan.make(4)


def _as_json(facts: dict[str, object]) -> dict[str, object]:
    """Return the facts as JSON has them, without tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}
