"""From which release the rolling test starts."""

import subprocess
from pathlib import Path

import pytest

from tools.lab.rolling.versions import ROOT, last_release


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one commit."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    release(tmp_path, "0.1.0", "# Changelog\n")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def release(folder: Path, version: str, changelog: str) -> str:
    """Commit a version, and return the commit."""
    (folder / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    (folder / "CHANGELOG.md").write_text(changelog)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", version, "--allow-empty")
    return git(folder, "rev-parse", "--short", "HEAD")


def test_it_is_the_newest_tag_of_an_earlier_version(project: Path) -> None:
    """Versions are compared as numbers. The tag of this version, and tags of other branches, do not count."""
    for tag in ("v0.1.0", "v0.9.0", "v0.10.0", "vanilla"):
        git(project, "tag", tag)
    git(project, "checkout", "--quiet", "-b", "other")
    release(project, "0.99.0", "# Changelog\n")
    git(project, "tag", "v0.99.0")
    git(project, "checkout", "--quiet", "main")
    release(project, "0.11.0", "# Changelog\n")
    assert last_release(project) == "v0.10.0"
    git(project, "tag", "v0.11.0")
    assert last_release(project) == "v0.10.0"


def test_without_a_tag_it_is_the_commit_that_the_changelog_names(project: Path) -> None:
    """A commit that is not in this clone does not count."""
    commit = git(project, "rev-parse", "--short", "HEAD")
    release(project, "0.2.0", f"# Changelog\n\n## 0.2.0 (2026-12-01)\n\n## 0.1.0 (2026-11-26, commit `{commit}`)\n")
    assert last_release(project) == commit
    release(project, "0.2.0", "# Changelog\n\n## 0.2.0 (2026-12-01)\n\n## 0.1.0 (2026-11-26, commit `0123abc`)\n")
    assert last_release(project) is None


def test_this_changelog_names_releases() -> None:
    """The headings of CHANGELOG.md are as they are read here."""
    assert last_release(ROOT) is not None or (ROOT / ".git/shallow").exists() or not (ROOT / ".git").exists()
