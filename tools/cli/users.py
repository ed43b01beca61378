"""`dashboard users`: roles of accounts. It uses the users service's database.

Dependencies are imported when a command runs, so that --help is fast.
"""

import asyncio
import getpass
import json
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import typer

users = typer.Typer(help="List accounts, and change their roles.", no_args_is_help=True)

DataDir = Annotated[Path, typer.Option(help="Data folder of the one-machine stack, to find its database.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
T = TypeVar("T")
VARIABLE = "USERS_DATABASE_URL"


@users.command()
def promote(
    email: str,
    role: Annotated[Literal["support", "admin", "user"], typer.Option(help="user removes the role.")] = "support",
    data_dir: DataDir = Path(".local"),
) -> None:
    """Change the role of an account: support may read all users' data, admin may also change it."""
    from services.users.accounts.roles import promote
    from services.users.errors import UserNotFound

    by = f"{getpass.getuser()}@{socket.gethostname()}"
    try:
        user_id, before = _run(promote(_database_url(data_dir), email, role, by))
    except UserNotFound:
        _fail(f"no account has the address {email}")
    typer.echo(f"{email} ({user_id}) was {before} and is {role}; effective from the next sign-in.")


@users.command()
def operators(data_dir: DataDir = Path(".local"), as_json: Json = False) -> None:
    """List the accounts with a role."""
    from services.users.accounts.roles import list_operators

    found = _run(list_operators(_database_url(data_dir)))
    if as_json:
        typer.echo(json.dumps([{"id": str(one.id), "email": one.email, "role": one.role} for one in found], indent=2))
        return
    for one in found:
        typer.echo(f"{one.role:8} {one.email}  {one.id}")


@users.command("list")
def list_users(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of accounts.")] = 50,
    data_dir: DataDir = Path(".local"),
    as_json: Json = False,
) -> None:
    """List accounts, newest first."""
    from services.users.accounts.roles import list_accounts

    found = _run(list_accounts(_database_url(data_dir), limit))
    if as_json:
        rows = [
            {
                "id": str(one.id),
                "email": one.email,
                "name": one.name,
                "role": one.role,
                "created_at": f"{one.created_at:%FT%TZ}",
            }
            for one in found
        ]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for one in found:
        typer.echo(f"{one.created_at:%F}  {one.role:8} {one.email}  {one.id}")


def _database_url(data_dir: Path) -> str:
    """Return the URL of the environment, or that of the stack on this machine."""
    from shared.config.settings import environment
    from tools.cli.api import local_stack

    url = environment(VARIABLE) or local_stack(data_dir).get("postgres", {}).get("databases", {}).get("users")
    if not url:
        _fail(f"nothing is running here: start it with `dashboard up`, or set {VARIABLE} to the users database")
    return str(url)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """End the command with one line if the database returns an error."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return asyncio.run(work)
    except (OSError, SQLAlchemyError) as error:
        _fail(f"the users database cannot be used: {error}")


def _fail(message: str) -> NoReturn:
    typer.echo(f"dashboard: {message}", err=True)
    raise typer.Exit(1)
