"""`dashboard users`: who is an operator. It works on the users service's database.

What a command needs is imported when it runs, so that --help is quick.
"""

import asyncio
import getpass
import json
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import typer

users = typer.Typer(help="List accounts, and make them operators.", no_args_is_help=True)

DataDir = Annotated[Path, typer.Option(help="Of the one-machine stack, which says where its database is.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
T = TypeVar("T")
VARIABLE = "USERS_DATABASE_URL"


@users.command()
def promote(
    email: str,
    role: Annotated[Literal["support", "admin", "user"], typer.Option(help="user takes a role away.")] = "support",
    data_dir: DataDir = Path(".local"),
) -> None:
    """Give an account a role: support may look at everybody's things, admin may change them, too."""
    from services.users.accounts.roles import promote
    from services.users.errors import UserNotFound

    by = f"{getpass.getuser()}@{socket.gethostname()}"
    try:
        user_id, before = _run(promote(_database_url(data_dir), email, role, by))
    except UserNotFound:
        _fail(f"no account has the address {email}")
    typer.echo(f"{email} ({user_id}) was {before} and is {role}; in force from the next sign-in on.")


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
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    data_dir: DataDir = Path(".local"),
    as_json: Json = False,
) -> None:
    """List accounts, the newest first."""
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
    """As the environment says, else as the stack on this machine says."""
    from shared.config.secret_files import environment
    from tools.cli.addresses import local_stack

    url = environment(VARIABLE) or local_stack(data_dir).get("postgres", {}).get("databases", {}).get("users")
    if not url:
        _fail(f"nothing runs here: start it with `dashboard up`, or set {VARIABLE} to the database of users")
    return str(url)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """What the database refuses ends the command, with one line."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return asyncio.run(work)
    except (OSError, SQLAlchemyError) as error:
        _fail(f"the database of users cannot be used: {error}")


def _fail(message: str) -> NoReturn:
    typer.echo(f"dashboard: {message}", err=True)
    raise typer.Exit(1)
