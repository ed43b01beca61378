import sys
from pathlib import Path

import pytest

from tests.support.stack.readme import command, run_example
from tests.support.stack.running import PATIENCE_S, Stack
from tests.support.waiting import wait_until

CLI = ("-m", "tools.cli.main")

pytestmark = pytest.mark.e2e


def test_the_examples_work_as_they_stand(stack: Stack, tmp_path: Path) -> None:
    """Every line of the README's example runs, and its dashboard shows the paid order. On a busy machine a panel may be
    late; then the example is run again, as its reader would do."""
    printed: list[str] = []
    (tmp_path / ".local").symlink_to(stack.folder)
    dashboard = command(tmp_path, "env", "-C", str(tmp_path), f"PYTHONPATH={Path.cwd()}", sys.executable, *CLI)

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
