"""`dashboard users`, on a users database."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from services.users.accounts import service
from services.users.accounts.administration import transaction
from services.users.accounts.links import Token
from services.users.sessions.repository import Lifetimes, begin
from services.users.settings import Settings
from shared.clock import now
from shared.db.engine import clock
from tests.support.backends.databases import NewDatabase
from tools.cli.main import app
from tools.devstack.system.databases import fetch

Run = Callable[..., tuple[int, str]]
EMAIL = "ann@example.com"


@pytest.fixture
def database(new_database: NewDatabase) -> str:
    return new_database("users")


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs a command with access to the database: its status and its output."""
    monkeypatch.setenv("USERS_DATABASE_URL", database)

    def invoke(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["users", *arguments])
        return result.exit_code, result.output

    return invoke


@pytest.fixture
def ann(database: str) -> UUID:
    """An account with a session."""

    async def register() -> UUID:
        settings = Settings(environment="development", database_url=database, rabbitmq_url="")
        async with transaction(database) as session:
            user = await service.register(session, email=EMAIL, name="Ann", password_hash="-")
            await begin(session, user.id, Lifetimes.of(settings), await clock(session))
            return user.id

    return asyncio.run(register())


def shown(run: Run, who: str = EMAIL) -> dict[str, Any]:
    code, output = run("show", who, "--json")
    assert code == 0, output
    found: dict[str, Any] = json.loads(output)
    return found


def test_an_account_is_shown_by_its_address_and_by_its_id(run: Run, ann: UUID) -> None:
    """As text and as JSON, with its sessions and the newest entries of the audit log; without a hash."""
    account = shown(run, EMAIL.upper())
    assert account == shown(run, str(ann))
    assert (account["id"], account["email"], account["email_verified"]) == (str(ann), EMAIL, False)
    assert (account["suspended_at"], account["open_sessions"], account["audit"]) == (None, 1, [])
    code, text = run("show", EMAIL)
    assert code == 0
    assert f"email           {EMAIL}" in text
    assert "hash" not in text


def test_accounts_are_listed_with_their_state(run: Run, ann: UUID) -> None:
    assert "unverified" in run("list")[1]
    [listed] = json.loads(run("list", "--json")[1])
    assert (listed["id"], listed["email_verified"], listed["suspended_at"]) == (str(ann), False, None)


def test_an_address_is_marked_as_verified(run: Run, ann: UUID, database: str) -> None:
    """Its sessions end, and the worker learns of it. The audit log says who ran the command."""
    assert run("verify", EMAIL) == (0, f"{EMAIL} is verified.\n")
    account = shown(run)
    assert (account["email_verified"], account["open_sessions"]) == (True, 0)
    [entry] = account["audit"]
    assert entry["action"] == "email_verified"
    assert entry["detail"].startswith("by ")
    kinds = {row[0] for row in fetch(database, "SELECT type FROM outbox WHERE user_id = $1", ann)}
    assert {"user.updated", "user.credentials_revoked"} <= kinds


def test_an_account_is_suspended_and_not_any_more(run: Run, ann: UUID, database: str) -> None:
    """Its sessions end, and gateways refuse their tokens."""
    assert run("suspend", str(ann))[0] == 0
    account = shown(run)
    assert account["suspended_at"] <= f"{now():%FT%TZ}"
    assert account["open_sessions"] == 0
    assert len(fetch(database, "SELECT FROM revocations WHERE user_id = $1", ann)) == 1
    assert "suspended" in run("list")[1]
    code, said = run("reset-password", EMAIL)
    assert (code, said) == (1, "dashboard: This account is suspended\n")
    assert run("unsuspend", EMAIL)[0] == 0
    assert shown(run)["suspended_at"] is None
    assert [entry["action"] for entry in shown(run)["audit"]] == ["account_unsuspended", "account_suspended"]


@pytest.mark.usefixtures("ann")
def test_a_reset_is_mailed(run: Run, database: str) -> None:
    """The mail is a task without a link. The limit of mails that a person may request does not apply."""
    for _ in range(7):
        assert run("reset-password", EMAIL) == (0, f"A mail with a link for a new password is sent to {EMAIL}.\n")
    rows = fetch(database, "SELECT payload FROM outbox WHERE type = 'task.send_password_reset'")
    assert [set(json.loads(row[0])) for row in rows] == [{"user_id", "email"}] * 7


def test_a_link_is_printed_to_be_handed_over(run: Run, ann: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leads to the public page, which must be known."""
    code, said = run("reset-password", EMAIL, "--link", "--data-dir", "/nonexistent")
    assert (code, said) == (1, "dashboard: set PUBLIC_URL to the address of the web page\n")
    monkeypatch.setenv("PUBLIC_URL", "https://dash.example.com/")
    code, link = run("reset-password", EMAIL, "--link")
    page, _, token = link.strip().partition("?token=")
    assert (code, page) == (0, "https://dash.example.com/#/reset")
    parsed = Token.parse(token)
    assert parsed is not None
    assert parsed.user_id == ann


@pytest.mark.parametrize("command", ["show", "verify", "suspend", "unsuspend", "reset-password", "promote"])
def test_an_account_that_is_not_there(run: Run, command: str) -> None:
    """One line, and status 1."""
    assert run(command, "nobody@example.com") == (1, "dashboard: no account has the address nobody@example.com\n")
    if command != "promote":
        unknown = str(UUID(int=7))
        assert run(command, unknown) == (1, f"dashboard: no account has the id {unknown}\n")
