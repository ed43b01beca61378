"""The commands in the documentation exist."""

import re
import shlex
from contextlib import suppress
from typing import Any

import pytest
import typer
from typer._click.exceptions import BadParameter, UsageError
from typer.core import TyperGroup

from tests.support.links import ROOT, pages
from tools.cli.main import app

FENCED_SH = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\S*/|docker compose exec gateway )?dashboard (?P<arguments>.+?)(?:\s+#.*)?$", re.MULTILINE)
ROOT_COMMAND = typer.main.get_command(app)
TYPED = sorted(
    {
        found["arguments"]
        for page in pages()
        for block in FENCED_SH.findall(page.read_text())
        for found in COMMAND.finditer(block)
    }
)


def understood(command: Any, arguments: list[str]) -> None:
    """Parse a command. Raises `UsageError` for an unknown command, option or argument, but not for an invalid value."""
    context = command.make_context(command.name, list(arguments))
    if isinstance(command, TyperGroup):
        _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        understood(found, rest)


@pytest.mark.parametrize("typed", TYPED)
def test_a_command_is_one_that_there_is(typed: str) -> None:
    """Each command exists with its options."""
    with suppress(BadParameter):  # a file or an id that is just an example
        understood(ROOT_COMMAND, shlex.split(typed))


def test_commands_are_found() -> None:
    """Commands are found, and a command that does not exist is rejected."""
    assert any(typed.startswith("jobs replay") for typed in TYPED)
    for wrong in ("jobs forget", "status --loud"):
        with pytest.raises(UsageError):
            understood(ROOT_COMMAND, shlex.split(wrong))


def test_the_readme_is_short() -> None:
    """Longer texts are separate pages."""
    assert len((ROOT / "README.md").read_text().splitlines()) < 160
