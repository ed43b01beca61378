import os
import re
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.stack.operators import Operator, bury, query
from tests.support.stack.readme import ROOT, command, run_example, run_script, scripts_of
from tests.support.stack.running import PASSWORD, PATIENCE_S, SERVICES, Stack
from tests.support.waiting import wait_until
from tests.support.worker.imports import csv_of, line

CLI = ("-m", "tools.cli.main")
ROLL = "dashboard roll"
"""It restarts the stack, so it has a test of its own."""

pytestmark = pytest.mark.e2e


def dashboard_in(folder: Path, stack: Stack, at: Path) -> Path:
    """Write a `dashboard` command into `at` that runs in `folder`, beside the data of the stack."""
    (folder / ".local").symlink_to(stack.folder)
    return command(at, "env", "-C", str(folder), f"PYTHONPATH={ROOT}", sys.executable, *CLI)


def test_the_examples_work_as_they_stand(stack: Stack, tmp_path: Path) -> None:
    """Every line of the README's example runs, and its dashboard shows the paid order. On a busy machine a panel may be
    late; then the example is run again, as its reader would do."""
    printed: list[str] = []
    dashboard = dashboard_in(tmp_path, stack, tmp_path)

    def is_complete() -> bool:
        try:
            printed.append(run_example(stack.url, dashboard))
        except AssertionError as failed:
            printed.append(str(failed))
            return False
        return "dashboard-complete: true" in printed[-1].lower() and '"status":"paid"' in printed[-1]

    try:
        wait_until(is_complete, PATIENCE_S)
    except AssertionError:
        pytest.fail(printed[-1])


def operations() -> list[str]:
    """Return the commands below *Operations*."""
    [script] = scripts_of("../README.md", "Operations")
    return [re.sub(r"\s+#\s.*", "", line) for line in script.splitlines()]


class Terminal:
    """What an administrator types in a folder with the file `orders.csv`."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.folder = folder
        self.admin = Operator(stack, "admin").person
        (folder / "bin").mkdir()
        (folder / "orders.csv").write_bytes(csv_of(line("a")))
        dashboard_in(folder, stack, folder / "bin")

    def type(self, script: str) -> str:
        return run_script(
            script,
            self.folder,
            DASHBOARD_EMAIL=self.admin.email,
            DASHBOARD_PASSWORD=PASSWORD,
            PATH=f"{self.folder / 'bin'}:{os.environ['PATH']}",
        )

    def succeeds(self, script: str) -> bool:
        try:
            self.type(script)
        except AssertionError:
            return False
        return True


@pytest.mark.full
def test_the_operations_work_as_they_stand(stack: Stack, tmp_path: Path) -> None:
    """Every command of the README's *Operations* succeeds on a running stack; the address and the error group are those
    of this stack. The status is awaited, because other tests leave work behind."""
    terminal = Terminal(stack, tmp_path)
    status, *others = operations()
    assert status == "dashboard status"
    wait_until(lambda: terminal.succeeds(status), PATIENCE_S)
    bury(stack, group := uuid4().hex, 2)
    try:
        printed = {
            typed: terminal.type(typed.replace("…", group).replace("ann@example.com", terminal.admin.email))
            for typed in others
            if typed != ROLL
        }
    finally:
        query(stack, "worker", "DELETE FROM jobs WHERE error_group = $1", group)
    assert group in printed["dashboard jobs groups"]
    assert "2 jobs match; 2 would be replayed.\n" in printed.values()
    assert any("was admin and is support" in output for output in printed.values())
    assert len(printed) == len(others) - 1 >= 5


@pytest.mark.full
def test_a_roll_restarts_every_process(stack: Stack, tmp_path: Path) -> None:
    """The README's `dashboard roll` gives each process a successor, and the stack is ready afterwards."""
    assert ROLL in operations()
    before = {name: stack.pids(name) for name in SERVICES}
    Terminal(stack, tmp_path).type(ROLL)
    wait_until(stack.recovered, PATIENCE_S)
    assert not [name for name, pids in before.items() if set(pids) & set(stack.pids(name))]
