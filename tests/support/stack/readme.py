"""The example of the README, run unchanged."""

import os
import re
import shlex
import subprocess
from pathlib import Path

README = Path(__file__).parents[3] / "README.md"


def run_example(url: str, dashboard: Path) -> str:
    """Return its output; fails if one of its lines does. `dashboard` is the command with which it reads mails."""
    [script] = re.findall(r"```sh\n(BASE=.*?)```", README.read_text(), re.DOTALL)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=os.environ | {"BASE": url, "DASHBOARD": str(dashboard)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def command(folder: Path, *arguments: str) -> Path:
    """Write a command that passes its arguments on to these, and return it."""
    file = folder / "dashboard"
    file.write_text(f'#!/bin/sh\nexec {shlex.join(arguments)} "$@"\n')
    file.chmod(0o755)
    return file
