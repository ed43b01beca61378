"""The workflow for a public forge."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
STEPS: list[dict[str, Any]] = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_actions_are_pinned_to_commits() -> None:
    """A tag can be moved to other code; a full commit id cannot."""
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)


def test_it_runs_what_a_person_can_type() -> None:
    """The workflow runs only targets of the Makefile, and all that `.ci/run` runs."""
    typed = [step["run"] for step in STEPS if "run" in step]
    assert all(command.startswith("make ") for command in typed)
    words = {word for command in typed for word in command.split()[1:]}
    targets = {word for word in words if "=" not in word}
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)
    made = re.findall(r"^\s*make (.*)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert {word for command in made for word in command.split()} <= words


def test_it_may_read_the_repository_and_nothing_else() -> None:
    """The workflow also keeps no credentials for later steps."""
    assert WORKFLOW["permissions"] == {}
    assert all(job["permissions"] == {"contents": "read"} for job in WORKFLOW["jobs"].values())
    assert all(step["with"] == {"persist-credentials": False} for step in STEPS if "uses" in step)
