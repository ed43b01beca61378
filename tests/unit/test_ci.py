"""The workflows for a public forge, and what people who adopt the project find there."""

import re
from pathlib import Path
from typing import Any

import json5
import pytest
import yaml

from deploy import release

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS: dict[str, dict[str, Any]] = {file.stem: yaml.safe_load(file.read_text()) for file in FILES}
STEPS = [step for workflow in WORKFLOWS.values() for job in workflow["jobs"].values() for step in job["steps"]]
MAKEFILE = (ROOT / "Makefile").read_text()
EVERYWHERE = ("ci", "kind")
"""The workflows that do nothing but what a person can type."""

WITH_HISTORY = {"persist-credentials": False, "fetch-depth": 0}
MAY_WRITE = {
    ("codeql", "analyze"): {"security-events"},
    ("release", "build"): {"packages"},
    ("release", "publish"): {"packages", "id-token", "attestations"},
}


def test_actions_are_pinned_to_commits() -> None:
    """A tag can be moved to other code; a full commit id cannot. Beside it stands the version, which Renovate reads."""
    lines = [line for file in FILES for line in file.read_text().splitlines() if "uses:" in line]
    assert len(lines) == len([step for step in STEPS if "uses" in step])
    assert all(re.search(r"uses: [\w-]+/[\w-]+(/[\w-]+)?@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line) for line in lines)


def test_one_action_has_one_version() -> None:
    """An action that several workflows use is the same everywhere."""
    used = {step["uses"] for step in STEPS if "uses" in step}
    assert len({action.partition("@")[0] for action in used}) == len(used)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_it_runs_what_a_person_can_type(name: str) -> None:
    """The workflow runs only targets of the Makefile."""
    typed = [step["run"] for job in WORKFLOWS[name]["jobs"].values() for step in job["steps"] if "run" in step]
    assert typed
    assert all(re.fullmatch(r"make [\w =]+", command) for command in typed)
    targets = {word for command in typed for word in command.split()[1:] if "=" not in word}
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)


def test_the_forge_runs_all_that_ci_runs() -> None:
    """Every target of `.ci/run` is a step of the workflow `ci`."""
    typed = [step["run"] for job in WORKFLOWS["ci"]["jobs"].values() for step in job["steps"] if "run" in step]
    words = {word for command in typed for word in command.split()[1:]}
    made = re.findall(r"^\s*make (.*)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert {word for command in made for word in command.split()} <= words


def test_every_python_is_tested_that_the_project_allows() -> None:
    """The tests run on each version from the oldest that pyproject.toml allows."""
    versions = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    [oldest] = re.findall(r'^requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert versions == [f"3.{minor}" for minor in range(int(oldest.partition(".")[2]), 15)]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_job_may_do_no_more_than_it_needs(name: str) -> None:
    """Every job names its permissions, ends in time, and keeps no credentials for later steps."""
    assert WORKFLOWS[name]["permissions"] == {}
    for job_name, job in WORKFLOWS[name]["jobs"].items():
        writes = {scope for scope, access in job["permissions"].items() if access == "write"}
        assert writes == MAY_WRITE.get((name, job_name), set())
        assert job["permissions"]["contents"] == "read"
        assert 0 < job["timeout-minutes"] <= 60
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] in ({"persist-credentials": False}, WITH_HISTORY)


def test_an_upgrade_from_the_last_release_is_tried() -> None:
    """The rolling test starts with the last release, which it reads from the history."""
    checkout, run = WORKFLOWS["ci"]["jobs"]["rolling"]["steps"]
    assert checkout["with"] == WITH_HISTORY
    assert run["run"] == "make rolling FROM=last"


def test_an_image_is_scanned_before_it_is_pushed() -> None:
    """The release is built for both platforms, and pushed with SBOM and provenance after the scan."""
    build = WORKFLOWS["release"]["jobs"]["build"]
    names = [step.get("name") for step in build["steps"]]
    assert names.index("Scan") < names.index("Push, with SBOM and provenance")
    push = build["steps"][names.index("Push, with SBOM and provenance")]["with"]
    assert (push["sbom"], push["provenance"]) == (True, "mode=max")
    assert [one["platform"] for one in build["strategy"]["matrix"]["include"]] == ["amd64", "arm64"]


def test_a_release_has_one_version(tmp_path: Path) -> None:
    """A file that names another version, or a changelog without it, stops the release."""
    for place in release.PLACES:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    overlay = tmp_path / "deploy/k8s/overlays/prod"
    (overlay / "kustomization.yaml").write_text("images:\n  - {name: dashboard, newName: x, newTag: 1.2.3}\n")
    (overlay / "parameters.yaml").write_text("data:\n  version: 1.2.3\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3 (2026-12-24)\n")
    assert list(release.problems("1.2.3", tmp_path)) == []
    assert len(list(release.problems("1.2.4", tmp_path))) == 4
    assert any("not a version" in line for line in release.problems("", tmp_path))


def test_every_file_names_the_same_version() -> None:
    """The overlay for production names the version of pyproject.toml."""
    version = re.findall(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
    assert [line for line in release.problems(version) if not line.startswith("CHANGELOG.md")] == []


def test_renovate_finds_every_version_of_the_list() -> None:
    """The patterns of renovate.json5 match every image and every operator in deploy/versions.toml."""
    told: dict[str, Any] = json5.loads((ROOT / "renovate.json5").read_text())
    text = (ROOT / "deploy/versions.toml").read_text()
    patterns = [
        pattern.replace("(?<", "(?P<")
        for manager in told["customManagers"]
        if "/^deploy/versions\\.toml$/" in manager["managerFilePatterns"]
        for pattern in manager["matchStrings"]
    ]
    found = [match for pattern in patterns for match in re.finditer(pattern, text)]
    assert len(found) == len(re.findall(r"^(?:image|tests|production|sentinel|tested) = ", text, re.MULTILINE))


def test_the_image_of_the_development_container_has_a_python_that_is_tested() -> None:
    """The container has everything that the tests need, from the targets that everyone uses."""
    told: dict[str, Any] = json5.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    [version] = re.findall(r"python:([\d.]+)", told["image"])
    assert version in WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert told["onCreateCommand"].startswith("make install")
    assert "docker-in-docker" in next(iter(told["features"]))
