"""`dashboard report`. Dependencies are imported when the command runs, so that --help is fast."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from tools.cli.jobs import Access, DataDir, Email, Json, Password, Token, Url

if TYPE_CHECKING:
    import httpx

    from tools.cli.api import Api


def report(
    kind: Annotated[str, typer.Argument(help="orders or analytics (by day).")],
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day, in UTC.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day, in UTC.")],
    form: Annotated[
        str, typer.Option(help="spreadsheet, with amounts as decimals, or data, with amounts in minor units.")
    ] = "spreadsheet",
    output: Annotated[Path | None, typer.Option(help="Output file; named after kind and period by default.")] = None,
    url: Url = None,
    token: Token = None,
    email: Email = None,
    password: Password = None,
    data_dir: DataDir = Path(".local"),
    as_json: Json = False,
) -> None:
    """Download a report of your own orders as CSV. The file is kept only if it is complete."""
    from tools.cli.api import Api, OperatorError

    wanted = {"kind": kind, "from": f"{first:%Y-%m-%d}", "to": f"{last:%Y-%m-%d}"}
    place = output or Path("{kind}-{from}-{to}.csv".format_map(wanted))
    try:
        with Api.signed_in(*Access(url, token, email, password, data_dir).resolved(demo_user=True)) as api:
            done = _download(api, wanted, form, place)
    except (OperatorError, OSError) as error:
        typer.echo(f"dashboard: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps({"file": str(place), **asdict(done)}, indent=2))
    else:
        typer.echo(f"{place}: {done.rows} rows, {done.bytes} bytes, complete.")


def _download(api: "Api", wanted: dict[str, str], form: str, place: Path) -> "Downloaded":
    made = api.order_report(wanted)
    with api.report(made["id"], form) as answer, progress_of(place.name) as advance:
        return keep(answer, place, advance)


@dataclass(frozen=True)
class Downloaded:
    """A complete file; `rows` does not count the header."""

    rows: int
    bytes: int
    sha256: str


def keep(answer: "httpx.Response", place: Path, on_bytes: Callable[[int], object]) -> Downloaded:
    """Write the report to this file, which exists only if it is complete, and report the bytes as they arrive.

    Raises the errors of the response; the incomplete file is deleted.
    """
    part = place.with_name(f"{place.name}.part")
    try:
        with part.open("wb") as file:
            digest = _copy(answer, file, on_bytes)
        found = Downloaded(_rows(part), part.stat().st_size, digest)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    return found


def _copy(answer: "httpx.Response", file: IO[bytes], on_bytes: Callable[[int], object]) -> str:
    digest = hashlib.sha256()
    for chunk in answer.iter_bytes():
        file.write(chunk)
        digest.update(chunk)
        on_bytes(len(chunk))
    return digest.hexdigest()


def _rows(part: Path) -> int:
    with part.open(encoding="utf-8", newline="") as file:
        return max(0, sum(1 for _ in csv.reader(file)) - 1)


@contextmanager
def progress_of(name: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar. Call the returned function with each number of received bytes."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    terminal = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda count: bar.advance(task, count)
