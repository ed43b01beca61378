"""`dashboard import`. Dependencies are imported when the command runs, so that --help is fast."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.cli.jobs import Access, DataDir, Email, Json, Password, Token, Url

if TYPE_CHECKING:
    from rich.console import Console

    from tools.cli.api import Api

POLL_S = 0.5
UNDER_WAY = ("queued", "running")


def import_orders(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A CSV file with one order per row.")
    ],
    wait: Annotated[bool, typer.Option(help="Wait for the import to end.")] = True,
    errors: Annotated[Path | None, typer.Option(help="Where to write the rows that could not be imported.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    email: Email = None,
    password: Password = None,
    data_dir: DataDir = Path(".local"),
) -> None:
    """Import a file of orders. The exit status is 1 if some rows could not be imported. You can import a file again:
    each reference becomes one order."""
    from tools.cli.api import Api, OperatorError

    access = Access(url, token, email, password, data_dir)
    try:
        with Api.signed_in(*access.resolved(demo_user=True)) as api:
            status = send(api, file)
            if wait:
                status = follow(api, status)
            if errors and status["rows_failed"]:
                with errors.open("wb") as target:
                    target.writelines(api.import_errors(status["id"]))
    except OperatorError as error:
        typer.echo(f"dashboard: {error}", err=True)
        raise typer.Exit(1) from None
    _say(status, as_json=as_json)
    if status["rows_failed"] or status["state"] in ("failed", "cancelled"):
        raise typer.Exit(1)


def _say(status: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(status, indent=2))
        return
    typer.echo(
        f"import {status['id']} {status['state']}: {status['rows_done']} of {status['rows_total']} rows imported, "
        f"{status['rows_repeated']} of them before, {status['rows_failed']} failed"
    )
    if status["error"]:
        typer.echo(status["error"])


def send(api: "Api", file: Path) -> dict[str, Any]:
    """Upload the file with a progress bar, and return the import's status."""
    from rich.progress import wrap_file

    with (
        file.open("rb") as source,
        wrap_file(source, file.stat().st_size, description="upload", console=_console(), transient=True) as shown,
    ):
        return api.upload(file.name, shown)


def follow(api: "Api", status: dict[str, Any]) -> dict[str, Any]:
    """Wait until the import has ended, and return its final status."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

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


def _console() -> "Console":
    """Return the console for progress, which is separate from the result on standard output."""
    from rich.console import Console

    return Console(stderr=True)
