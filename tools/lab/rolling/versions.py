"""An earlier version of the project, with its own packages, and the change to today's version while it runs."""

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3]
RELEASE = re.compile(r"^## (\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d(?:, commit `([0-9a-f]+)`)?\)$", re.MULTILINE)


def last_release(root: Path = ROOT) -> str | None:
    """Return the git ref of the newest release before the version in pyproject.toml: the newest tag `v*` in the history
    of this checkout, or the commit that CHANGELOG.md names for a release that was not tagged. None if there is
    neither, as in a shallow clone."""
    current = str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])
    tags = _git(root, "tag", "--list", "v*.*.*", "--merged", "HEAD", "--sort=-version:refname").split()
    for tag in tags:
        if tag != f"v{current}":
            return tag
    for version, commit in RELEASE.findall((root / "CHANGELOG.md").read_text()):
        if version != current and commit and _git(root, "cat-file", "-t", commit).strip() == "commit":
            return str(commit)
    return None


def _git(root: Path, *arguments: str) -> str:
    """Return the output, which is empty if the command fails."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False).stdout


class Version:
    """A git ref, unpacked and installed in a folder. `path` is a symbolic link: first to that version, later to
    today's. Processes that start use its target."""

    def __init__(self, folder: Path, ref: str) -> None:
        folder.mkdir()
        archive = subprocess.run(["git", "archive", ref], cwd=ROOT, capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
            packed.extractall(folder / "earlier", filter="data")
        _install(folder / "earlier")
        (folder / "today").mkdir()
        (folder / "today/.venv").symlink_to(sys.prefix)
        self.path = folder / "now"
        self.path.symlink_to("earlier")

    def become_todays(self, databases: Mapping[str, str]) -> None:
        """Migrate, and let processes that start from now on be today's; running processes are not affected."""
        other = self.path.with_name("next")
        other.symlink_to("today")
        other.replace(self.path)
        urls = {f"{name.upper()}_DATABASE_URL": url for name, url in databases.items()}
        subprocess.run([sys.executable, "-m", "tools.cli.main", "migrate"], cwd=ROOT, env=os.environ | urls, check=True)


def command(version: Path, *arguments: str) -> list[str]:
    """Return a command line of `dashboard` in the version that is at this path when it starts."""
    return [str(version / ".venv/bin/dashboard"), *arguments]


def _install(folder: Path) -> None:
    """Make `.venv` with the packages of the version's own lock file. Raises `CalledProcessError`."""
    own = Path(sys.prefix) / "bin/uv"
    uv = str(own) if own.exists() else shutil.which("uv") or "uv"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    }
    subprocess.run(
        [uv, "sync", "--quiet", "--locked", "--no-dev", "--python", sys.executable],
        cwd=folder,
        env=environment,
        check=True,
    )
