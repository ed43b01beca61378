"""`dashboard status`: the health of the system on one screen. Dependencies are imported when it runs."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from tools.cli.health import Health

WATCH_S = 2.0
NOTHING_RUNS = "nothing is running here: start it with `dashboard up`, or pass addresses (`dashboard status --help`)"


def status(
    gateway_url: Annotated[
        str | None, typer.Option(envvar="GATEWAY_INTERNAL_URL", help="Internal port of the gateway.")
    ] = None,
    users_url: Annotated[str | None, typer.Option(envvar="GATEWAY_USERS_URL")] = None,
    orders_url: Annotated[str | None, typer.Option(envvar="GATEWAY_ORDERS_URL")] = None,
    worker_url: Annotated[str | None, typer.Option(envvar="GATEWAY_WORKER_URL")] = None,
    data_dir: Annotated[Path, typer.Option(help="Data folder of the one-machine stack.")] = Path(".local"),
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the health of the system; exit with status 1 if there is a problem.

    Addresses that are not given are those of the one-machine stack, if it runs. Separate several addresses of one
    service by commas.
    """
    given = {"gateway": gateway_url, "users": users_url, "orders": orders_url, "worker": worker_url}
    seen = _again_and_again(given, data_dir) if watch else iter([_now(given, data_dir)])
    show = _print_json if as_json else _print_screens
    raise typer.Exit(0 if show(seen) else 1)


def _now(given: Mapping[str, str | None], data_dir: Path) -> "Health":
    from tools.cli.addresses import local_stack, processes
    from tools.cli.health import assess, look

    return assess(asyncio.run(look(processes(given, local_stack(data_dir)))))


def _again_and_again(given: Mapping[str, str | None], data_dir: Path) -> Iterator["Health"]:
    while True:
        yield _now(given, data_dir)
        time.sleep(WATCH_S)


def _print_json(seen: Iterator["Health"]) -> bool:
    """Refresh until Ctrl-C; return whether there was no problem at the end."""
    well = False
    with suppress(KeyboardInterrupt):
        for health in seen:
            well = health.well
            typer.echo(json.dumps(health.as_json(), indent=2, ensure_ascii=False))
    return well


def _print_screens(seen: Iterator["Health"]) -> bool:
    from rich.console import Console

    from tools.cli.show_status import screen

    well = False
    console = Console()
    with suppress(KeyboardInterrupt), _on_one_screen(console) as live:
        for health in seen:
            well = health.well
            if not live and health.nothing_runs:
                typer.echo(f"dashboard: {NOTHING_RUNS}", err=True)
            elif live:
                live.update(screen(health), refresh=True)
            else:
                console.print(screen(health))
    return well


def _on_one_screen(console: "Console") -> AbstractContextManager["Live | None"]:
    from rich.live import Live

    return Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext()
