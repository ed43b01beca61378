"""The `dashboard` command without a running stack, and its help. No servers."""

import os
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tools.cli.main import app
from tools.devstack.system.ports import free_port

OF_FEATURES = (("import", "orders.csv"), ("report", "orders", "--from", "2026-01-01", "--to", "2026-01-31"))
"""Commands of feature slices, which may have been removed."""


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a folder without a stack, and addresses without a listener."""
    url = f"http://127.0.0.1:{free_port()}"
    for name in list(os.environ):
        if name.startswith(("DASHBOARD_", "GATEWAY_", "USERS_", "ORDERS_", "WORKER_", "DATABASE_URL", "RABBITMQ_URL")):
            monkeypatch.delenv(name)
    for name in (
        "DASHBOARD_URL",
        "GATEWAY_INTERNAL_URL",
        "GATEWAY_USERS_URL",
        "GATEWAY_ORDERS_URL",
        "GATEWAY_WORKER_URL",
    ):
        monkeypatch.setenv(name, url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.csv").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("jobs", "list"),
        ("jobs", "groups"),
        ("jobs", "show", "email", "1"),
        ("jobs", "list", "--search", "x"),
        ("jobs", "retry", "email", "1"),
        ("jobs", "cancel", "email", "1"),
        ("jobs", "retry", "--job", "email"),
        ("jobs", "cancel", "--search", "x", "--yes"),
        ("jobs", "pause", "email"),
        ("jobs", "resume", "email"),
        ("jobs", "replay"),
        ("jobs", "discard", "--reason", "x"),
        ("schedules", "list"),
        ("schedules", "run", "digest"),
        ("schedules", "pause", "digest"),
        ("schedules", "resume", "digest"),
        ("users", "list"),
        ("users", "operators"),
        ("users", "promote", "ada@example.com"),
        ("mail",),
        ("mail", "1"),
        ("trace",),
        ("trace", "abc"),
        ("roll",),
        ("migrate",),
        *(command for command in OF_FEATURES if command[0] in vars(get_command(app))["commands"]),
    ],
    ids=" ".join,
)
def test_where_nothing_runs_a_command_says_what_to_do(nothing: Path, command: tuple[str, ...]) -> None:
    """Each command prints one short sentence, exits with status 1, and creates no files."""
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("dashboard: ")
    assert "`dashboard up`" in line
    assert len(line) < 160
    assert [path.name for path in nothing.iterdir()] == ["orders.csv"]


@pytest.mark.parametrize("command", [("seed",), ("serve", "orders")], ids=" ".join)
@pytest.mark.usefixtures("nothing")
def test_missing_settings_are_named(command: tuple[str, ...]) -> None:
    """The missing settings are printed on one line, without a traceback."""
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert "database_url" in line


def test_its_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout.split()[0]) == (0, "dashboard")


def test_a_shell_can_complete_it() -> None:
    """The command has typer's options for shell completion."""
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).stdout
