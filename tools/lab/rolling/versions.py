"""The code of an earlier version, and the change to today's code while it runs."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3]


class Code:
    """`path` is a symbolic link: first to the code of the git ref, later to today's. Processes that start use its
    target."""

    def __init__(self, folder: Path, ref: str) -> None:
        folder.mkdir()
        archive = subprocess.run(
            ["git", "archive", ref, "services", "shared"], cwd=ROOT, capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
            packed.extractall(folder / "old", filter="data")
        self.path = folder / "now"
        self.path.symlink_to(folder / "old")

    def become_todays(self, databases: Mapping[str, str]) -> None:
        """Migrate, and let processes that start from now on use today's code; running processes are not affected."""
        other = self.path.with_name("next")
        other.symlink_to(ROOT)
        other.replace(self.path)
        urls = {f"{name.upper()}_DATABASE_URL": url for name, url in databases.items()}
        subprocess.run([sys.executable, "-m", "tools.cli.main", "migrate"], cwd=ROOT, env=os.environ | urls, check=True)
