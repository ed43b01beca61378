"""Every command in the documentation is run by a test, exists with its options, or is on a list that says why not."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from typer._click.exceptions import BadParameter, UsageError
from typer.core import TyperGroup

from tests.support.compose_file import read_compose
from tests.support.links import ROOT, pages
from tests.support.typed_commands import EXECUTED, NOT_RUN, Typed, commands_of, typed_commands, unlabelled
from tools.cli.main import app

ROOT_COMMAND = typer.main.get_command(app)
TYPED = typed_commands()
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z0-9]+):", MAKEFILE, re.MULTILINE))
BIN = Path(sys.prefix) / "bin"
PLACEHOLDER = re.compile(r"\[?[A-Z]+\]?|…")
"""What the reader replaces."""
COMPOSE_WITH_SERVICES = {"exec", "logs", "ps", "restart", "run", "stop", "up"}
COMPOSE_OPTIONS_WITH_VALUES = {"--profile", "--since", "--scale"}
FILTERS = {"grep", "printf", "sed"}
"""Parts of a pipeline that exist everywhere."""


def understood(command: Any, arguments: Sequence[str]) -> None:
    """Parse a command. Raises `UsageError` for an unknown command, option or argument, but not for an invalid value."""
    context = command.make_context(command.name, list(arguments))
    if isinstance(command, TyperGroup):
        _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        understood(found, rest)


def check_dashboard(words: Sequence[str]) -> None:
    """The command's own parser accepts it; a group without a command is one that exists."""
    arguments = [word for word in words[1:] if not PLACEHOLDER.fullmatch(word)]
    names = [word for word in arguments if re.fullmatch(r"[a-z-]+", word)]
    if arguments == names and (group := _group(names)) is not None:
        assert isinstance(group, TyperGroup)
        return
    with suppress(BadParameter):  # a file or an id that is just an example
        understood(ROOT_COMMAND, words[1:])


def _group(names: Sequence[str]) -> Any:
    """Return the group or command with this name, or None if the names are not a group alone."""
    found: Any = ROOT_COMMAND
    for name in names:
        found = found.commands.get(name) if isinstance(found, TyperGroup) else None
    return found if isinstance(found, TyperGroup) else None


def check_make(words: Sequence[str]) -> None:
    """The targets exist, and make understands their recipes with these variables."""
    assert {word for word in words[1:] if "=" not in word} <= TARGETS
    done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_docker(words: Sequence[str]) -> None:
    """A subcommand of compose, with services that a compose file has. What runs in a service is checked, too."""
    assert words[1] == "compose"
    rest = list(words[2:])
    while rest[0].startswith("--"):
        assert rest.pop(0) == "--profile"
        assert rest.pop(0) in compose_profiles()
    subcommand = rest.pop(0)
    assert subcommand in COMPOSE_WITH_SERVICES
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in COMPOSE_OPTIONS_WITH_VALUES:
            value = rest.pop(0)
            assert option != "--scale" or value.partition("=")[0] in compose_services()
    if rest:
        assert PLACEHOLDER.fullmatch(rest[0]) or rest[0] in compose_services()
    if rest[1:2] == ["dashboard"] and rest[2:]:
        check_dashboard(rest[1:])


@cache
def compose_files() -> tuple[Mapping[str, Any], ...]:
    files = (ROOT / "docker-compose.yml", *sorted((ROOT / "deploy/compose").glob("*.yml")))
    return tuple(map(read_compose, files))


def compose_services() -> set[str]:
    return {name for file in compose_files() for name in file.get("services", {})}


def compose_profiles() -> set[str]:
    services = [service for file in compose_files() for service in file.get("services", {}).values() if service]
    return {profile for service in services for profile in service.get("profiles", [])}


def check_kubectl(words: Sequence[str]) -> None:
    """kubectl accepts the subcommand and its options. Folders exist, and what runs in a pod is checked, too."""
    own, _, inner = " ".join(words).partition(" -- ")
    arguments = own.split()[1:]
    done = subprocess.run([BIN / "kubectl", *arguments, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout, done.stdout
    for option, value in pairwise(arguments):
        assert option != "-k" or (ROOT / value).is_dir(), value
    if inner:
        check_dashboard(shlex.split(inner))


def check_python(words: Sequence[str]) -> None:
    """The module or script exists, and names each of these options."""
    if words[1] != "-m":
        assert (ROOT / words[1]).is_file()
        return
    spec = find_spec(words[2])
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    sources = "".join(file.read_text() for file in folder.rglob("*.py"))
    assert all(f'"{word}"' in sources for word in words[3:] if word.startswith("--") and folder.is_relative_to(ROOT))


def check_tool(words: Sequence[str]) -> None:
    """A tool of the environment, with files that exist."""
    assert (BIN / Path(words[0]).name).exists()
    assert all((ROOT / word).exists() for word in words[1:] if "/" in word)


def check_script(words: Sequence[str]) -> None:
    """An executable script of the project."""
    assert (ROOT / words[0]).stat().st_mode & 0o100


def checker(words: Sequence[str]) -> Callable[[Sequence[str]], None] | None:
    """Return the check for a command, or None if there is none for this program."""
    program = words[0]
    name = program.rpartition("/")[2]
    if name in ("python", "python3"):
        return check_python
    if name == "dashboard":
        return check_dashboard
    if program.startswith(".venv/bin/"):
        return check_tool
    if program.startswith(("deploy/", "tools/")):
        return check_script
    if program in FILTERS:
        return lambda _: None
    return {"make": check_make, "docker": check_docker, "kubectl": check_kubectl}.get(program)


def reason(command: Typed) -> str | None:
    """Return why no test runs this command, if that is on the list."""
    return next((why for start, why in NOT_RUN.items() if f"{command.text} ".startswith(f"{start} ")), None)


CHECKED = sorted({command.words for command in TYPED if command.executed is None and reason(command) is None})


@pytest.mark.parametrize("words", CHECKED, ids=" ".join)
def test_a_command_that_no_test_runs_exists(words: tuple[str, ...]) -> None:
    """It exists, with its options, targets, services and files. A command of another program must be run by a test, or
    be listed in `NOT_RUN` with the reason."""
    check = checker(words)
    assert check is not None, f"neither run by a test nor listed: {' '.join(words)}"
    check(words)


@pytest.mark.parametrize(("section", "test"), EXECUTED.items(), ids=["#".join(section) for section in EXECUTED])
def test_a_command_that_a_test_runs_has_that_test(section: tuple[str, str], test: str) -> None:
    """The test exists, and the section has commands."""
    file, _, name = test.partition("::")
    defined = {
        node.name
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert name in defined
    page = (ROOT / section[0]).read_text()
    assert not section[1] or re.search(rf"^#+ {re.escape(section[1])}$", page, re.MULTILINE)
    assert [command for command in TYPED if command.page == section[0] and command.executed == test]


def test_every_reason_is_needed() -> None:
    """The list names no command that has left the documentation."""
    texts = [f"{command.text} " for command in TYPED if command.executed is None]
    assert [start for start in NOT_RUN if not any(text.startswith(f"{start} ") for text in texts)] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_with_commands_says_so(page: Path) -> None:
    """It is `sh`, or `console` where the tests that follow the page do not type it."""
    assert unlabelled(page.read_text()) == []


def test_commands_are_found() -> None:
    """Commands are found in blocks, lists and inline code, without comments, assignments and the rest of a pipeline."""
    page = """# Title

Type `dashboard  jobs\nlist`, or `A=1 make test ARGS="-k x"`; `make` and `a list` are no commands.

   ```sh
   git pull && dashboard users list   # the newest
   B=2 C= python3 x.py \\
     --long 'a | b' | kubectl apply -f -
   curl -d '{"a": 1,
     "b": 2}' localhost
   ```
"""
    assert [command.words for command in commands_of("x.md", page)] == [
        ("git", "pull"),
        ("dashboard", "users", "list"),
        ("python3", "x.py", "--long", "a | b"),
        ("kubectl", "apply", "-f", "-"),
        ("curl", "-d", '{"a": 1,\n  "b": 2}', "localhost"),
        ("dashboard", "jobs", "list"),
        ("make", "test", "ARGS=-k x"),
    ]
    assert {command.page for command in TYPED} >= {"README.md", "CONTRIBUTING.md", "docs/operations.md"}


@pytest.mark.parametrize(
    "wrong",
    [
        "dashboard jobs forget",
        "dashboard status --loud",
        "dashboard nothing",
        "make nothing",
        "docker compose exec nowhere dashboard status",
        "docker compose exec gateway dashboard nothing",
        "docker compose forget",
        "kubectl -n dashboard get --loud pods",
        "kubectl forget",
        "kubectl apply -k deploy/k8s/overlays/nowhere",
        "kubectl exec deploy/users -- dashboard users forget",
        "python -m tools.lab.nothing",
        "python -m tools.lab.rolling --loud",
        "python3 deploy/nothing.py",
        ".venv/bin/pytest tests/nothing",
        "deploy/compose/nothing.sh",
    ],
)
def test_a_wrong_command_is_found(wrong: str) -> None:
    """A command, an option, a target, a service or a file that does not exist is rejected."""
    check = checker(wrong.split())
    assert check is not None
    with pytest.raises((AssertionError, UsageError, FileNotFoundError, ModuleNotFoundError)):
        check(wrong.split())


def test_another_program_needs_a_test_or_a_reason() -> None:
    """A command of a program without a check is reported."""
    assert checker(["frobnicate", "all"]) is None
    assert reason(Typed("x.md", ("frobnicate", "all"), None)) is None


def test_the_readme_is_short() -> None:
    """Longer texts are separate pages."""
    assert len((ROOT / "README.md").read_text().splitlines()) < 200
