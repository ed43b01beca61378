"""`dashboard jobs`. Dependencies are imported when a command runs, so that --help is fast."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.cli.job_filters import Filters, filtered

if TYPE_CHECKING:
    from tools.cli.api import Api, Credentials

jobs = typer.Typer(
    help="Search jobs; retry, cancel, replay or discard them; pause and resume them.", no_args_is_help=True
)

DataDir = Annotated[Path, typer.Option(help="Data folder of the one-machine stack, to find its addresses.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OneJob = Annotated[str | None, typer.Argument(metavar="[JOB]", help="The name of the job.")]
OneEvent = Annotated[str | None, typer.Argument(metavar="[EVENT]", help="The id of its event.")]
OfEvents = Annotated[list[str] | None, typer.Option("--event", help="Only this event; can be repeated.")]
OnlyCount = Annotated[bool, typer.Option("--dry-run", help="Only count the jobs that would be changed.")]
AtMost = Annotated[int | None, typer.Option(min=1, help="Maximum number of jobs; all matching ones by default.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for a confirmation.")]
CHANGED = {"replay": "replayed", "discard": "discarded", "retry": "retried", "cancel": "cancelled"}
"""What an action has done to the jobs that a response counts."""


@dataclass(frozen=True)
class Access:
    url: str | None
    token: str | None
    email: str | None
    password: str | None
    data_dir: Path

    def resolved(self, *, demo_user: bool = False) -> tuple[str, "Credentials"]:
        """Return the gateway's address and the account: on the one-machine stack the demo administrator, or user."""
        from tools import demo
        from tools.cli.api import Credentials, gateway_url, local_stack

        stack = {} if self.url else local_stack(self.data_dir)
        url = gateway_url(self.url, stack)
        if self.token:
            return url, Credentials(token=self.token)
        if self.email:
            password = self.password or typer.prompt("Password", hide_input=True, err=True)
            return url, Credentials(email=self.email, password=password)
        known = demo.USER if demo_user else demo.ADMIN
        return url, Credentials(email=known, password=demo.PASSWORD) if stack else Credentials()


Url = Annotated[str | None, typer.Option(envvar="DASHBOARD_URL", help="Address of the gateway.")]
Token = Annotated[str | None, typer.Option(envvar="DASHBOARD_TOKEN", help="An access token.")]
Email = Annotated[str | None, typer.Option(envvar="DASHBOARD_EMAIL", help="Address of the account.")]
Password = Annotated[str | None, typer.Option(envvar="DASHBOARD_PASSWORD", help="Prompted for if missing.")]


@jobs.callback()
def access(
    context: typer.Context,
    url: Url = None,
    token: Token = None,
    email: Email = None,
    password: Password = None,
    data_dir: DataDir = Path(".local"),
) -> None:
    context.obj = Access(url, token, email, password, data_dir)


@jobs.command("list")
@filtered
def list_jobs(
    context: typer.Context,
    filters: Filters,
    state: Annotated[
        str | None,
        typer.Option(
            help="scheduled, waiting, running, retrying, done, dead, cancelled, discarded or suppressed. Without it, a"
            " search finds all, and any other list those that are not finished."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    with signed_in(context) as api:
        found = api.jobs(limit, state=state, **filters)
    if as_json:
        print_json(found)
    else:
        from tools.cli.show_jobs import show_list

        show_list(found)


@jobs.command()
def groups(context: typer.Context, as_json: Json = False) -> None:
    """Count jobs that are not done, by job, state and cause."""
    with signed_in(context) as api:
        found = api.groups()
    if as_json:
        print_json(found)
    else:
        from tools.cli.show_jobs import show_groups

        show_groups(found)


@jobs.command()
def show(context: typer.Context, job: str, event_id: str, as_json: Json = False) -> None:
    """Show one job, its message, its attempts, and the actions of operators."""
    with signed_in(context) as api:
        found = api.job(job, event_id)
    if as_json:
        print_json(found)
    else:
        from tools.cli.show_jobs import show_one

        show_one(found)


@jobs.command()
@filtered
def retry(
    context: typer.Context,
    filters: Filters,
    name: OneJob = None,
    event_id: OneEvent = None,
    state: Annotated[
        str | None, typer.Option(help="Only scheduled, waiting, retrying, dead, discarded or cancelled ones.")
    ] = None,
    event: OfEvents = None,
    limit: AtMost = None,
    dry_run: OnlyCount = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run a job now, or all that match the filters: those that are delayed, wait for their next attempt, or were given
    up or cancelled."""
    order = _order(filters, event, dry_run, state)
    _change(context, "retry", name, event_id, order, limit, yes=yes, as_json=as_json)


@jobs.command()
@filtered
def cancel(
    context: typer.Context,
    filters: Filters,
    name: OneJob = None,
    event_id: OneEvent = None,
    state: Annotated[str | None, typer.Option(help="Only scheduled, waiting or retrying ones.")] = None,
    event: OfEvents = None,
    limit: AtMost = None,
    dry_run: OnlyCount = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Cancel a job, or all that match the filters: those that have not run yet, or would be retried."""
    order = _order(filters, event, dry_run, state)
    _change(context, "cancel", name, event_id, order, limit, yes=yes, as_json=as_json)


@jobs.command()
def pause(context: typer.Context, job: str, as_json: Json = False) -> None:
    """Let no job of this name start until it is resumed. Its messages are kept."""
    _switch(context, job, "pause", as_json=as_json)


@jobs.command()
def resume(context: typer.Context, job: str, as_json: Json = False) -> None:
    """Let the jobs of this name run again."""
    _switch(context, job, "resume", as_json=as_json)


@jobs.command()
@filtered
def replay(
    context: typer.Context,
    filters: Filters,
    event: OfEvents = None,
    discarded: Annotated[bool, typer.Option("--discarded", help="Replay discarded jobs instead of dead ones.")] = False,
    rate: Annotated[float | None, typer.Option(help="Jobs per second; all at once by default.")] = None,
    limit: AtMost = None,
    dry_run: OnlyCount = False,
    as_json: Json = False,
) -> None:
    """Retry dead jobs, with a full set of attempts."""
    order = _order(filters, event, dry_run, "discarded" if discarded else "dead")
    _carry_out(context, "replay", order | ({"rate_per_s": rate} if rate is not None else {}), limit, as_json=as_json)


@jobs.command()
@filtered
def discard(
    context: typer.Context,
    filters: Filters,
    reason: Annotated[str, typer.Option(help="Reason, recorded in the audit log.")],
    event: OfEvents = None,
    limit: AtMost = None,
    dry_run: OnlyCount = False,
    as_json: Json = False,
) -> None:
    """Discard dead jobs: they are kept, but no longer retried or counted as dead."""
    _carry_out(context, "discard", _order(filters, event, dry_run) | {"reason": reason}, limit, as_json=as_json)


def _change(
    context: typer.Context,
    action: str,
    name: str | None,
    event_id: str | None,
    order: dict[str, Any],
    limit: int | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Change the named job, or else all that match. Raises `BadParameter` unless one of the two is given."""
    filters = order.keys() - {"dry_run"}
    if name and not event_id:
        raise typer.BadParameter(f"give the id of an event, too, or --job {name} for all jobs of this name")
    if name and filters:
        raise typer.BadParameter("give either a job and an event, or filters")
    if not name and not filters:
        raise typer.BadParameter("give a job and an event, or filters")
    if name and order["dry_run"]:
        order |= {"job": name, "event_ids": [event_id]}
    elif name and event_id:
        _change_one(context, action, name, event_id, as_json=as_json)
        return
    _carry_out(context, action, order, limit, ask=not yes, as_json=as_json)


def _change_one(context: typer.Context, action: str, job: str, event_id: str, *, as_json: bool) -> None:
    with signed_in(context) as api:
        api.change_job(job, event_id, action)
        found = api.job(job, event_id)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{job} {event_id} is {found['state']}.")


def _switch(context: typer.Context, job: str, action: str, *, as_json: bool) -> None:
    with signed_in(context) as api:
        api.switch_job(job, action)
    if as_json:
        print_json({"job": job, "paused": action == "pause"})
    else:
        typer.echo(f"{job} is {action}d.")


@contextmanager
def signed_in(context: typer.Context) -> Iterator["Api"]:
    """End the command with the gateway's reason if it refuses the request."""
    from tools.cli.api import Api, OperatorError

    access: Access = context.obj
    try:
        with Api.signed_in(*access.resolved()) as api:
            yield api
    except OperatorError as error:
        typer.echo(f"dashboard: {error}", err=True)
        raise typer.Exit(1) from error


def _carry_out(
    context: typer.Context, action: str, order: dict[str, Any], limit: int | None, *, as_json: bool, ask: bool = False
) -> None:
    """Change all jobs that match, in batches. `ask`: only if the operator confirms it."""
    from tools.cli.api import in_batches
    from tools.cli.show_jobs import show_progress

    counted = CHANGED[action]
    with signed_in(context) as api:
        steps = in_batches(partial(api.change_jobs, action), order, counted, limit)
        first = next(steps)
        if ask and first.expected and not order["dry_run"]:
            question = f"{first.matched} jobs match; {first.expected} will be {counted}. Continue?"
            typer.confirm(question, abort=True, err=True)
        done = show_progress(chain([first], steps), action)
    if as_json:
        print_json({"matched": done.matched, counted: done.done})
    elif order["dry_run"]:
        typer.echo(f"{done.matched} jobs match; {done.expected} would be {counted}.")
    else:
        typer.echo(f"{done.done} of {done.matched} jobs {counted}.")


def print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _order(filters: Filters, events: list[str] | None, dry_run: bool, state: str | None = None) -> dict[str, Any]:
    given = {**filters, "event_ids": events, "state": state}
    return {name: value for name, value in given.items() if value} | {"dry_run": dry_run}
