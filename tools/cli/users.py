"""`dashboard users`: accounts, for operators with access to the users service's database.

Dependencies are imported when a command runs, so that --help is fast.
"""

import asyncio
import getpass
import json
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar
from uuid import UUID

import typer

if TYPE_CHECKING:
    from services.users.audit.repository import Actor
    from services.users.models import AuditRow, User

users = typer.Typer(help="List accounts, change their roles, and help their owners.", no_args_is_help=True)

DataDir = Annotated[Path, typer.Option(help="Data folder of the one-machine stack, to find its database.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Who = Annotated[str, typer.Argument(metavar="WHO", help="The address or the id of the account.")]
T = TypeVar("T")
VARIABLE = "USERS_DATABASE_URL"
PUBLIC_URL = "PUBLIC_URL"
RECENT = 10
"""The number of entries of the audit log that are shown with an account."""


@users.command()
def promote(
    email: str,
    role: Annotated[Literal["support", "admin", "user"], typer.Option(help="user removes the role.")] = "support",
    data_dir: DataDir = Path(".local"),
) -> None:
    """Change the role of an account: support may read all users' data, admin may also change it."""
    from services.users.accounts.administration import promote

    user_id, before = _run(promote(_database_url(data_dir), email, role, _operator()), email)
    typer.echo(f"{email} ({user_id}) was {before} and is {role}; effective from the next sign-in.")


@users.command()
def operators(data_dir: DataDir = Path(".local"), as_json: Json = False) -> None:
    """List the accounts with a role."""
    from services.users.accounts.administration import list_operators

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
    from services.users.accounts.administration import list_accounts

    found = _run(list_accounts(_database_url(data_dir), limit))
    if as_json:
        typer.echo(json.dumps([_account(one) for one in found], indent=2, ensure_ascii=False))
        return
    for one in found:
        typer.echo(f"{one.created_at:%F}  {one.role:8} {_state(one):10} {one.email}  {one.id}")


@users.command()
def show(who: Who, data_dir: DataDir = Path(".local"), as_json: Json = False) -> None:
    """Show an account: its state, its open sessions, and its newest entries in the audit log."""
    user, open_sessions, entries = _run(_show(_database_url(data_dir), who), who)
    account = _account(user) | {"open_sessions": open_sessions}
    if as_json:
        account["audit"] = [_entry(entry) for entry in entries]
        typer.echo(json.dumps(account, indent=2, ensure_ascii=False))
        return
    for name, value in account.items():
        typer.echo(f"{name:15} {'-' if value is None else value}")
    for entry in entries:
        typer.echo(f"{entry.created_at:%FT%TZ}  {entry.action}  {entry.detail or ''}".rstrip())


@users.command("reset-password")
def reset_password(
    who: Who,
    link: Annotated[
        bool, typer.Option("--link", help="Print the link, to hand it over in person, instead of mailing it.")
    ] = False,
    data_dir: DataDir = Path(".local"),
) -> None:
    """Mail the account a link for a new password, which is valid for an hour."""
    url = _run(_reset(_database_url(data_dir), who, _page(data_dir) if link else None), who)
    typer.echo(url or f"A mail with a link for a new password is sent to {who}.")


@users.command()
def verify(who: Who, data_dir: DataDir = Path(".local")) -> None:
    """Mark the address of an account as verified. If it was not, all sessions of the account end."""
    from services.users.accounts.verification import mark_verified

    _run(_change(_database_url(data_dir), who, mark_verified), who)
    typer.echo(f"{who} is verified.")


@users.command()
def suspend(who: Who, data_dir: DataDir = Path(".local")) -> None:
    """Suspend an account: its sessions and streams end, and it cannot sign in."""
    from services.users.accounts.administration import suspend

    _run(_change(_database_url(data_dir), who, suspend), who)
    typer.echo(f"{who} is suspended.")


@users.command()
def unsuspend(who: Who, data_dir: DataDir = Path(".local")) -> None:
    """Let a suspended account sign in again."""
    from services.users.accounts.administration import unsuspend

    _run(_change(_database_url(data_dir), who, unsuspend), who)
    typer.echo(f"{who} can sign in again.")


async def _change(database_url: str, who: str, change: Any) -> None:
    from services.users.accounts.administration import locked, transaction

    async with transaction(database_url) as session:
        await change(session, await locked(session, _id_or_address(who)), _actor())


async def _show(database_url: str, who: str) -> "tuple[User, int, list[AuditRow]]":
    from services.users.accounts.administration import count_sessions, locked, transaction
    from services.users.audit import repository as audit

    async with transaction(database_url) as session:
        user = await locked(session, _id_or_address(who))
        entries = await audit.page(session, RECENT, None, subject_id=user.id)
        return user, await count_sessions(session, user.id), list(entries)


async def _reset(database_url: str, who: str, page: str | None) -> str | None:
    """Return the link if it is to be printed."""
    from services.users.accounts.administration import locked, mail_reset, reset_link, transaction

    async with transaction(database_url) as session:
        user = await locked(session, _id_or_address(who))
        if page is not None:
            return (await reset_link(session, user, _actor(), page)).url
        await mail_reset(session, user, _actor())
        return None


def _account(user: "User") -> dict[str, Any]:
    return {
        "id": str(user.id),
        "email": user.email,
        "email_verified": user.email_verified,
        "pending_email": user.pending_email,
        "name": user.name,
        "role": user.role,
        "suspended_at": f"{user.suspended_at:%FT%TZ}" if user.suspended_at else None,
        "created_at": f"{user.created_at:%FT%TZ}",
    }


def _entry(entry: "AuditRow") -> dict[str, Any]:
    return {"action": entry.action, "detail": entry.detail, "created_at": f"{entry.created_at:%FT%TZ}"}


def _state(user: "User") -> str:
    return "suspended" if user.suspended_at else "verified" if user.email_verified else "unverified"


def _id_or_address(who: str) -> UUID | str:
    try:
        return UUID(who)
    except ValueError:
        return who


def _operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _actor() -> "Actor":
    from services.users.audit.repository import Actor

    return Actor(detail=f"by {_operator()}")


def _page(data_dir: Path) -> str:
    """Return the address of the web page: that of the environment, or that of the stack on this machine."""
    from shared.config.settings import environment
    from tools.cli.api import local_stack

    page = environment(PUBLIC_URL) or local_stack(data_dir).get("gateway", {}).get("url")
    if not page:
        _fail(f"set {PUBLIC_URL} to the address of the web page")
    return str(page).rstrip("/")


def _database_url(data_dir: Path) -> str:
    """Return the URL of the environment, or that of the stack on this machine."""
    from shared.config.settings import environment
    from tools.cli.api import local_stack

    url = environment(VARIABLE) or local_stack(data_dir).get("postgres", {}).get("databases", {}).get("users")
    if not url:
        _fail(f"nothing is running here: start it with `dashboard up`, or set {VARIABLE} to the users database")
    return str(url)


def _run(work: Coroutine[Any, Any, T], who: str = "") -> T:
    """End the command with one line if the account does not exist or the database returns an error."""
    from sqlalchemy.exc import SQLAlchemyError

    from services.users.errors import UserNotFound
    from shared.errors import DashboardError

    try:
        return asyncio.run(work)
    except UserNotFound:
        _fail(f"no account has the {'id' if isinstance(_id_or_address(who), UUID) else 'address'} {who}")
    except DashboardError as refused:
        _fail(refused.detail)
    except (OSError, SQLAlchemyError) as error:
        _fail(f"the users database cannot be used: {error}")


def _fail(message: str) -> NoReturn:
    typer.echo(f"dashboard: {message}", err=True)
    raise typer.Exit(1)
