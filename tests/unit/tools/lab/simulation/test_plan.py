"""Plans: the same seed is the same plan, and a part of them is about dashboards."""

import pytest

from tools.lab.simulation import plan

SEEDS = range(1, 61)


@pytest.mark.parametrize("seed", [1, 3])
def test_a_seed_is_a_plan(seed: int) -> None:
    """In order, and within the active time."""
    steps = plan.make(seed)
    assert steps == plan.make(seed) != plan.make(seed + 1)
    assert steps == sorted(steps, key=lambda step: step.at)
    assert steps[0].at >= 0
    assert any(step.is_fault for step in steps)


def test_some_worlds_are_about_dashboards() -> None:
    """They have many more readers, and every kind of trouble that these notice."""
    about = [plan.make(seed) for seed in SEEDS if seed % plan.DASHBOARDS_EVERY == 0]
    others = [plan.make(seed) for seed in SEEDS if seed % plan.DASHBOARDS_EVERY]
    assert _reads(about) / len(about) > 2 * _reads(others) / len(others)
    assert {step.kind for steps in about for step in steps if step.is_fault} == set(plan.OF_DASHBOARDS)
    assert {step.kind for steps in others for step in steps if step.is_fault} == set(plan.FAULTS)


def _reads(plans: list[list[plan.Step]]) -> int:
    return sum(step.kind == "read" for steps in plans for step in steps)
