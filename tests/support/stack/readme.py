"""The example of the README, run unchanged."""

import os
import re
import subprocess
from pathlib import Path

README = Path(__file__).parents[3] / "README.md"


def run_example(url: str, mail: str) -> str:
    """Return its output; fails if one of its lines does. `mail` is the command that lists mails."""
    [script] = re.findall(r"```sh\n(BASE=.*?)```", README.read_text(), re.DOTALL)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=os.environ | {"BASE": url, "MAIL": mail},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
