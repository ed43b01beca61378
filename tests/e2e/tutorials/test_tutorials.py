"""The tutorials, followed literally in a copy of the project, with their tests."""

import shlex
from pathlib import Path

import pytest

from tests.e2e.tutorials.blocks import apply, blocks, commands
from tests.support.backends import Backends
from tests.support.project_copy import ROOT, copy_project, run_in

TUTORIALS = sorted((ROOT / "docs/tutorials").glob("add-*.md"))
RECOMMENDED = (
    ".venv/bin/python -m tools.docs.pages",
    ".venv/bin/ruff check .",
    ".venv/bin/ruff format --check .",
    ".venv/bin/lint-imports",
    ".venv/bin/mypy",
    ".venv/bin/pytest -q -n 2 -m 'not long and not full' tests/unit",
)
"""The commands of `make docs lint types`, and those tests of `make test` that need no server."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that shares the environment with this one."""
    copy_project(copy := tmp_path / "dashboard")
    return copy


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=[path.stem for path in TUTORIALS])
def test_a_tutorial_works_as_it_stands(tutorial: Path, project: Path, backends: Backends) -> None:
    """Its changes apply to the current code, and its commands succeed."""
    page = tutorial.read_text()
    apply(page, project)
    typed = commands(page)
    assert typed
    for command in typed:
        run(command, project, backends.kind)


@pytest.mark.full
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=[path.stem for path in TUTORIALS])
def test_what_a_tutorial_recommends_succeeds(tutorial: Path, project: Path, backends: Backends) -> None:
    """Documentation, style, types and tests of the changed project succeed."""
    apply(tutorial.read_text(), project)
    for command in RECOMMENDED:
        run(command, project, backends.kind)


def run(command: str, project: Path, backends: str) -> None:
    run_in(project, shlex.split(command), {"TEST_BACKENDS": backends})


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=[path.stem for path in TUTORIALS])
def test_the_reader_is_told_which_file_it_is(tutorial: Path) -> None:
    """Each block's file name is in the text, because a rendered page does not show the info string of a fence."""
    page = tutorial.read_text()
    for block in blocks(page):
        if block.file is not None:
            before = page[: page.index(block.text)]
            assert f"`{block.file}`" in before, block.file
