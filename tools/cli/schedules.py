"""`dashboard schedules`."""

import typer

from tools.cli.jobs import Json, access, print_json, signed_in

schedules = typer.Typer(help="List schedules; run, pause and resume them.", no_args_is_help=True)
schedules.callback()(access)


@schedules.command("list")
def list_schedules(context: typer.Context, as_json: Json = False) -> None:
    """List all schedules, with their last and next runs."""
    with signed_in(context) as api:
        found = api.schedules()
    if as_json:
        print_json(found)
    else:
        from tools.cli.show_jobs import show_schedules

        show_schedules(found)


@schedules.command()
def run(context: typer.Context, name: str, as_json: Json = False) -> None:
    """Run the job of a schedule now, also while the schedule is paused."""
    with signed_in(context) as api:
        added = api.run_schedule(name)
    if as_json:
        print_json(added)
    else:
        typer.echo(f"{name} runs: dashboard jobs show {added['job']} {added['event_id']}")


@schedules.command()
def pause(context: typer.Context, name: str, as_json: Json = False) -> None:
    """Skip the times of a schedule until it is resumed."""
    _switch(context, name, "pause", as_json=as_json)


@schedules.command()
def resume(context: typer.Context, name: str, as_json: Json = False) -> None:
    """Let a paused schedule run again, from its next time."""
    _switch(context, name, "resume", as_json=as_json)


def _switch(context: typer.Context, name: str, action: str, *, as_json: bool) -> None:
    with signed_in(context) as api:
        api.switch_schedule(name, action)
        found = next((one for one in api.schedules() if one["name"] == name), None)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{name} is {action}d.")
