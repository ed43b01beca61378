"""Makes a failing simulation shorter: leaves out steps as long as the same promise is still broken."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tools.lab.simulation.plan import Step

MOST_RUNS = 80
"""Shrinking ends after so many simulations."""

Fails = Callable[[Iterable[Sequence[Step]]], Iterator[tuple[Sequence[Step], bool]]]
"""Runs simulations of several plans, and yields each with whether it fails as the first one did."""


def shrink(steps: Sequence[Step], fails: Fails, most_runs: int = MOST_RUNS) -> list[Step]:
    """Return a part of the steps that still fails: first without large parts, then without single steps."""
    kept, size, runs = list(steps), max(1, len(steps) // 2), 0
    while runs < most_runs and kept:
        shorter: list[Step] | None = None
        candidates = [kept[:at] + kept[at + size :] for at in range(0, len(kept), size)]
        for candidate, failed in fails(candidates[: most_runs - runs]):
            runs += 1
            if failed and (shorter is None or len(candidate) < len(shorter)):
                shorter = list(candidate)
                break
        if shorter is not None:
            kept = shorter
            size = min(size, max(1, len(kept) // 2))
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
    return kept


def write(path: Path, seed: int, mutation: str, steps: Sequence[Step]) -> None:
    """Write a plan, so that it can be replayed."""
    plan = {
        "seed": seed,
        "mutation": mutation,
        "steps": [{"at": step.at, "kind": step.kind, "facts": step.facts} for step in steps],
    }
    path.write_text(json.dumps(plan, indent=1) + "\n")


def read(path: Path) -> tuple[int, str, list[Step]]:
    """Return the seed, the mutation and the steps of a written plan."""
    plan = json.loads(path.read_text())
    steps = [Step(step["at"], step["kind"], step["facts"]) for step in plan["steps"]]
    return plan["seed"], plan["mutation"], steps
