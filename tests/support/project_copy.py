"""A copy of the project, to change it and run its commands."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".venv", ".local", ".*_cache", ".hypothesis", "__pycache__", "node_modules", "build")
)

UNAFFECTED = (
    *("tests/unit/shared", "tests/unit/gateway/upstream", "tests/unit/gateway/auth", "tests/unit/gateway/limits"),
    *("tests/unit/gateway/dashboard", "tests/unit/worker/email", "tests/unit/deploy", "tests/unit/fuzz"),
    *("tests/unit/test_dependencies.py", "tests/unit/users/identities", "tests/unit/tools/lab"),
    "tests/unit/tools/devstack",
)
"""Unit tests of what neither a slice nor a tutorial changes; they take half of the time."""


def copy_project(to: Path) -> None:
    """Copy the project to a new folder. The copy shares the environment with this one."""
    shutil.copytree(ROOT, to, ignore=LEFT_OUT)
    (to / ".venv").symlink_to(sys.prefix)
    # With what `make types` left, mypy reads only the changed modules again, unless it is running in the project now.
    with contextlib.suppress(shutil.Error, FileNotFoundError):
        shutil.copytree(ROOT / ".mypy_cache", to / ".mypy_cache")


def run_in(tree: Path, command: Sequence[str], more: Mapping[str, str] | None = None) -> str:
    """Run a command in a copy, with its modules, and return its output. Fails with the output if the command fails."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        cwd=tree,
        env=outside | {"PYTHONPATH": str(tree)} | dict(more or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
