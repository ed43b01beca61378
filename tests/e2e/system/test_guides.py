"""The commands of the guides for API users, run as they stand."""

import io
import os
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.stack.readme import ROOT, command, define_field, run_script, scripts_of
from tests.support.stack.running import PASSWORD, PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.e2e

GUIDES = {
    "imports.md": "Imports",
    "mail.md": "Notification settings",
    "pictures.md": "Profile pictures",
    "reports.md": "Reports",
    "webhooks.md": "Create a webhook",
}
"""The heading of each guide's commands."""


@pytest.fixture
def folder(stack: Stack, tmp_path: Path) -> Path:
    """The reader's folder: the files that the guides name, and the `dashboard` command."""
    [rows] = re.findall(r"```csv\n(.*?)```", (ROOT / "docs/imports.md").read_text(), re.DOTALL)
    (tmp_path / "orders.csv").write_text(rows)
    Image.new("RGB", (300, 200), "teal").save(picture := io.BytesIO(), "JPEG")
    (tmp_path / "me.jpg").write_bytes(picture.getvalue())
    (tmp_path / ".local").symlink_to(stack.folder)
    (tmp_path / "bin").mkdir()
    cli = (sys.executable, "-m", "tools.cli.main")
    command(tmp_path / "bin", "env", "-C", str(tmp_path), f"PYTHONPATH={ROOT}", *cli)
    return tmp_path


@pytest.mark.full
@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_works_as_it_stands(stack: Stack, person: Person, folder: Path, page: str) -> None:
    """Every line succeeds. If the machine is so busy that one is refused, the guide is followed again, as its reader
    would."""
    scripts = scripts_of(page, GUIDES[page])
    assert scripts
    printed: list[str] = []

    def works() -> bool:
        try:
            printed.append(run(scripts, stack, person, folder))
        except AssertionError as failed:
            printed.append(str(failed))
            return False
        return True

    try:
        wait_until(works, PATIENCE_S)
    except AssertionError:
        pytest.fail(printed[-1])


def run(scripts: list[str], stack: Stack, person: Person, folder: Path) -> str:
    return run_script(
        define_field() + "".join(scripts),
        folder,
        BASE=stack.url,
        TOKEN=person.http.headers["Authorization"].removeprefix("Bearer "),
        DASHBOARD_EMAIL=person.email,
        DASHBOARD_PASSWORD=PASSWORD,
        PATH=f"{folder / 'bin'}:{os.environ['PATH']}",
    )
