"""An import on the terminal: a bar for the upload, and one for its rows."""

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    wrap_file,
)

from services.operate.api import Api

POLL_S = 0.5
UNDER_WAY = ("queued", "running")


def send(api: Api, file: Path) -> dict[str, Any]:
    with (
        file.open("rb") as source,
        wrap_file(source, file.stat().st_size, description="upload", console=_console(), transient=True) as shown,
    ):
        return api.upload(file.name, shown)


def follow(api: Api, status: dict[str, Any]) -> dict[str, Any]:
    """Until it has ended; returns how it ended."""
    rows = TextColumn("{task.fields[rows_per_s]} rows/s, {task.fields[rows_failed]} failed")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn(), rows)
    with Progress(*columns, TimeRemainingColumn(), console=_console(), transient=True) as progress:
        task = progress.add_task("import", total=None, rows_per_s=0, rows_failed=0)
        while True:
            progress.update(
                task,
                description=status["state"],
                total=status["rows_total"],
                completed=status["rows_done"] + status["rows_failed"],
                rows_per_s=round(status["rows_per_s"] or 0),
                rows_failed=status["rows_failed"],
            )
            if status["state"] not in UNDER_WAY:
                return status
            time.sleep(POLL_S)
            status = api.imported(status["id"])


def _console() -> Console:
    """Beside the result, which goes to the standard output."""
    return Console(stderr=True)
