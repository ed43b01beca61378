"""`dashboard report`. Dependencies are imported when the command runs, so that --help is fast."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.cli.jobs import Access, DataDir, Email, Json, Password, Token, Url

if TYPE_CHECKING:
    from tools.cli.api import Api
    from tools.cli.download import Downloaded


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
    from tools.cli.download import keep, progress_of

    made = api.order_report(wanted)
    with api.report(made["id"], form) as answer, progress_of(place.name) as advance:
        return keep(answer, place, advance)
