"""Simulations: the same seed is the same history, no promise is broken, and known faults are found."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.lab.simulation import shrink
from tools.lab.simulation.mutations import MUTATIONS
from tools.lab.simulation.plan import Step

ROOT = Path(__file__).parents[5]
TIMEOUT_S = 1800
PROCESSES = "2"
QUICKLY_FOUND = ("tick-twice",)
"""A mutation that nearly every simulation finds; the others are tested only in `-m long`."""


def simulate(*arguments: str, status: int = 0) -> str:
    """Run the command, expect that it ends with this status, and return what it prints."""
    command = [sys.executable, "-m", "tools.lab.simulation", "--processes", PROCESSES, *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def digest(printed: str) -> str:
    """Return the hash of the history."""
    found = re.search(r"^hash (\w+)", printed, re.MULTILINE)
    assert found, printed
    return found[1]


@pytest.mark.full
def test_the_same_seed_has_the_same_history() -> None:
    """Two runs on different servers agree in every entry."""
    first, second = simulate("--replay", "3"), simulate("--replay", "3")
    entries = [line for line in first.splitlines() if not line.startswith("hash")]
    assert entries == [line for line in second.splitlines() if not line.startswith("hash")]
    assert digest(first) == digest(second)


@pytest.mark.long
def test_another_seed_has_another_history() -> None:
    assert digest(simulate("--replay", "3")) != digest(simulate("--replay", "4"))


@pytest.mark.parametrize("runs", ["1", pytest.param("4", marks=pytest.mark.long)])
def test_no_promise_is_broken(runs: str) -> None:
    """Simulations, each with faults of its own."""
    assert "await points" in simulate("--seed", "1", "--runs", runs, "--seconds", str(TIMEOUT_S))


@pytest.mark.full
@pytest.mark.parametrize("name", QUICKLY_FOUND)
def test_a_known_fault_is_found(name: str) -> None:
    """With the fault put back, one of the promises that it breaks is found broken."""
    assert "found in" in simulate("--mutations", name)


@pytest.mark.full
def test_a_shrunk_plan_can_be_replayed(tmp_path: Path) -> None:
    """A file with two steps is a whole simulation, and shows its findings."""
    path = tmp_path / "plan.json"
    steps = [Step(1.0, "task", {"fails": 1, "delay_s": 0}), Step(2.0, "order", {"user": 0, "number": 7})]
    shrink.write(path, 1, "no-next-attempt", steps)
    assert "unfinished: " in simulate("--replay", str(path), status=1)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in QUICKLY_FOUND])
def test_every_known_fault_is_found(name: str) -> None:
    """Each within its stated number of runs."""
    assert "found in" in simulate("--mutations", name)


@pytest.mark.long
def test_no_promise_is_broken_in_many_worlds() -> None:
    """Some minutes of simulations."""
    assert "await points" in simulate("--seed", "1000", "--runs", "150", "--seconds", str(TIMEOUT_S))
