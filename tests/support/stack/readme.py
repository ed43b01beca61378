"""The examples of the README and of other pages, run unchanged."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run_example(url: str) -> str:
    """Return the output of the README's example; fails if one of its lines does."""
    [script] = re.findall(r"```sh\n(BASE=.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return run_script(script, BASE=url)


def scripts_of(page: str, heading: str) -> list[str]:
    """Return the shell scripts below a heading of a page of `docs`."""
    section = (ROOT / "docs" / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def run_script(script: str, **variables: str) -> str:
    """Return its output; fails if one of its lines does."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
