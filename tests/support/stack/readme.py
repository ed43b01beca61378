"""The examples of the README and of other pages, run unchanged."""

import os
import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run_example(url: str, dashboard: Path) -> str:
    """Return the output of the README's example; fails if one of its lines does. `dashboard` is the command with which
    it reads mails."""
    [script] = re.findall(r"```sh\n(BASE=.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return run_script(script, BASE=url, DASHBOARD=str(dashboard))


def scripts_of(page: str, heading: str) -> list[str]:
    """Return the shell scripts below a heading of a page of `docs` (`../README.md` is the README)."""
    text = (ROOT / "docs" / page).read_text()
    section = re.split(rf"^##? {re.escape(heading)}\n", text, maxsplit=1, flags=re.MULTILINE)[1].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def run_script(script: str, folder: Path = ROOT, **variables: str) -> str:
    """Run it in the folder and return its output; fails if one of its lines does."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def define_field() -> str:
    """Return the line of the README that defines `field`, which other pages use."""
    [line] = re.findall(r"^field\(\).*\n", (ROOT / "README.md").read_text(), re.MULTILINE)
    return str(line)


def command(folder: Path, *arguments: str) -> Path:
    """Write a command that passes its arguments on to these, and return it."""
    file = folder / "dashboard"
    file.write_text(f'#!/bin/sh\nexec {shlex.join(arguments)} "$@"\n')
    file.chmod(0o755)
    return file
