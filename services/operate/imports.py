"""`dashboard import`. What the command needs is imported when it runs, so that --help is quick."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from services.operate.jobs import Access, DataDir, Email, Json, Password, Token, Url


def import_orders(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A CSV file, a row an order.")
    ],
    wait: Annotated[bool, typer.Option(help="Until it has ended.")] = True,
    errors: Annotated[Path | None, typer.Option(help="Where to write the rows that could not be imported.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    email: Email = None,
    password: Password = None,
    data_dir: DataDir = Path(".local"),
) -> None:
    """Import a file of orders. The exit status is 1 when some of it could not be imported. It may be sent again: each
    reference becomes one order."""
    from services.operate.api import Api, OperatorError
    from services.operate.show_import import follow, send

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
