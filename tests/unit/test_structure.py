"""How tests are put together: no test module is a library, and no test waits for a time."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODULES = sorted(TESTS.rglob("*.py"))
WAITING = sorted(path for kind in ("unit", "integration", "e2e") for path in (TESTS / kind).rglob("test_*.py"))
SLEEPS = {"time.sleep", "asyncio.sleep"}


def _name(path: Path) -> str:
    return str(path.relative_to(TESTS.parent))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported, or may be one: of `from a import b`, both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = f"tests.{node.module or ''}" if node.level else node.module or ""
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))


def belongs_to_pytest(module: str) -> bool:
    """Whether pytest alone imports it."""
    package, _, name = module.rpartition(".")
    return f"{package}.".startswith("tests.") and (name.startswith("test_") or name == "conftest")


def sleeps(tree: ast.Module) -> Iterator[int]:
    """The lines that call a sleep with a number above zero."""
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called, seconds = ast.unparse(node.func), node.args[0]
            is_above_zero = (
                isinstance(seconds, ast.Constant) and isinstance(seconds.value, int | float) and seconds.value
            )
            if names.get(called, called) in SLEEPS and is_above_zero:
                yield node.lineno


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from tests.unit.test_seed import x", True),
        ("from tests.unit import test_seed", True),
        ("import tests.conftest", True),
        ("from .conftest import x", True),
        ("from tests.support.waiting import eventually", False),
        ("from tools.lab.bench.peers import test", False),
        ("import unittest.test_x", False),
    ],
)
def test_an_import_of_a_test_module_is_seen(code: str, *, found: bool) -> None:
    """In each form that an import can have."""
    assert any(map(belongs_to_pytest, imported(ast.parse(code)))) is found


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("import time\ntime.sleep(1)", [2]),
        ("await asyncio.sleep(0.01)", [1]),
        ("from asyncio import sleep as rest\nawait rest(2)", [2]),
        ("await asyncio.sleep(0)", []),
        ("await asyncio.sleep(pause_s)", []),
        ("fake.sleep(3)", []),
    ],
)
def test_a_sleep_is_seen(code: str, lines: list[int]) -> None:
    """Under whatever name; giving others a turn is none."""
    assert list(sleeps(ast.parse(code))) == lines


def test_no_module_imports_a_test() -> None:
    """What several of them need is in `tests/support`."""
    wrong = {
        f"{_name(path)} imports {module}"
        for path in MODULES
        for module in imported(_tree(path))
        if belongs_to_pytest(module)
    }
    assert not wrong


def test_no_test_sleeps() -> None:
    """It waits for a condition (`tests/support/waiting.py`): a time is too long on most machines, and too short on a
    busy one."""
    wrong = [f"{_name(path)}:{line}" for path in WAITING for line in sleeps(_tree(path))]
    assert not wrong
