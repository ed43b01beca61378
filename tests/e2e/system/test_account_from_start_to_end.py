"""The commands of docs/how-to/an-account-from-start-to-end.md, run as they stand."""

import sys
from pathlib import Path

import pytest

from tests.e2e.tutorials.blocks import blocks
from tests.support.stack.readme import ROOT, command, run_script
from tests.support.stack.running import Stack

pytestmark = pytest.mark.e2e

PAGE = ROOT / "docs/how-to/an-account-from-start-to-end.md"
SHOWN = ["False", "True", "created", "invalid_link", "2500", "curl", "{'mail': False}", "True", "invalid_access_token"]
"""What the commands print, in this order, without the mail."""


@pytest.mark.full
def test_the_commands_work_as_they_stand(stack: Stack, tmp_path: Path) -> None:
    """One account is registered, verified, reset, used by a key, and deleted. Every command succeeds."""
    (tmp_path / ".local").symlink_to(stack.folder)
    cli = (sys.executable, "-m", "tools.cli.main")
    dashboard = command(tmp_path, "env", "-C", str(tmp_path), f"PYTHONPATH={Path.cwd()}", *cli)
    script = "".join(block.text for block in blocks(PAGE.read_text()) if block.language == "sh")
    printed = run_script(script, BASE=stack.url, DASHBOARD=str(dashboard))
    assert [line for line in printed.splitlines() if line in SHOWN] == SHOWN, printed
