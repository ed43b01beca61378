"""The tutorials, followed literally in a copy of the project, with their tests."""

import re
import shlex
from pathlib import Path

import pytest

from tests.e2e.tutorials.blocks import apply, blocks, commands
from tests.support.backends import Backends
from tests.support.project_copy import ROOT, UNAFFECTED, copy_project, run_in

FOLDER = ROOT / "docs/tutorials"
OTHERS = {"your-own-application", "from-background-tasks"}
"""They are about applications of their own."""
TUTORIALS = sorted(path for path in FOLDER.glob("*.md") if path.stem not in OTHERS)
CONTINUES = re.compile(r"^Continues \[.*?\]\(([\w-]+\.md)\)", re.MULTILINE)
CONTINUED = {found[1] for page in TUTORIALS if (found := CONTINUES.search(page.read_text()))}
LAST = [page for page in TUTORIALS if page.name not in CONTINUED]
"""Those that no other one continues: their changes contain those of the others."""
TYPICAL = ("delay-a-job",)
"""What the others recommend is tested only in `-m long`."""
RECOMMENDING = [pytest.param(page, marks=[] if page.stem in TYPICAL else [pytest.mark.long]) for page in LAST]
DOCUMENTED = ".venv/bin/python -m tools.docs.pages"
RECOMMENDED = (
    DOCUMENTED,
    ".venv/bin/ruff check .",
    ".venv/bin/ruff format --check .",
    ".venv/bin/lint-imports",
    ".venv/bin/mypy",
)
"""The commands of `make docs lint types`."""
TESTED = f".venv/bin/pytest -q -m 'not long and not full' tests/unit --ignore={' --ignore='.join(UNAFFECTED)}"
"""Those tests of `make test` that need no server and that a tutorial can affect."""


def named(path: Path) -> str:
    return path.stem


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that shares the environment with this one."""
    copy_project(copy := tmp_path / "dashboard")
    return copy


def follow(tutorial: Path, project: Path) -> list[str]:
    """Apply the changes of a tutorial, and of the one that it continues. Return what is left to type."""
    page = tutorial.read_text()
    if before := CONTINUES.search(page):
        for command in follow(FOLDER / before[1], project):
            if command.startswith("touch "):
                run_in(project, shlex.split(command))
    apply(page, project)
    return commands(page)


@pytest.mark.full
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=named)
def test_a_tutorial_works_as_it_stands(tutorial: Path, project: Path, backends: Backends) -> None:
    """Its changes apply to the current code, and its commands succeed."""
    typed = follow(tutorial, project)
    assert any("pytest" in command for command in typed)
    for command in typed:
        run(command, project, backends.kind)


@pytest.mark.full
@pytest.mark.parametrize("tutorial", RECOMMENDING, ids=named)
def test_what_a_tutorial_recommends_succeeds(tutorial: Path, project: Path, backends: Backends) -> None:
    """Documentation, style and types of the changed project are right."""
    for command in [*files_made_by(tutorial, project), *RECOMMENDED]:
        run(command, project, backends.kind)


@pytest.mark.long
@pytest.mark.parametrize("tutorial", LAST, ids=named)
def test_other_tests_pass_after_a_tutorial(tutorial: Path, project: Path, backends: Backends) -> None:
    for command in [*files_made_by(tutorial, project), DOCUMENTED, TESTED]:
        run(command, project, backends.kind)


def files_made_by(tutorial: Path, project: Path) -> list[str]:
    """Apply the changes of a tutorial. Return its commands that make files."""
    return [command for command in follow(tutorial, project) if command.startswith("touch ")]


def run(command: str, project: Path, backends: str) -> None:
    run_in(project, shlex.split(command), {"TEST_BACKENDS": backends})


@pytest.mark.parametrize("tutorial", sorted(FOLDER.glob("*.md")), ids=named)
def test_the_reader_is_told_which_file_it_is(tutorial: Path) -> None:
    """Each block's file name is in the text, because a rendered page does not show the info string of a fence."""
    page = tutorial.read_text()
    for block in blocks(page):
        if block.file is not None:
            before = page[: page.index(block.text)]
            assert f"`{block.file}`" in before, block.file


def test_the_page_about_other_applications_shows_the_shop(tmp_path: Path) -> None:
    """Each file on the page is as it is in the repository, and none is missing from it but the shop's own."""
    page = (FOLDER / "your-own-application.md").read_text()
    shown = {block.file: block.text for block in blocks(page) if block.file}
    assert shown
    for file, text in shown.items():
        assert (ROOT / file).read_text() == text, file
    using = {
        str(path.relative_to(ROOT))
        for path in (FOLDER / "shop").rglob("*.py")
        if re.search(r"^from (shared\.(outbox|contracts)|services)", path.read_text(), re.MULTILINE)
    }
    assert using == set(shown)
    for command in commands(page):
        run_in(ROOT, shlex.split(command), {"RUFF_CACHE_DIR": str(tmp_path)})
