"""The structure of the code has no import cycles and no crowded folders.

No test module is a library, and no test waits for a fixed time.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
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
    """Return every module that is or may be imported: of `from a import b`, both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = f"tests.{node.module or ''}" if node.level else node.module or ""
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))


def belongs_to_pytest(module: str) -> bool:
    """Return whether only pytest imports the module."""
    package, _, name = module.rpartition(".")
    return f"{package}.".startswith("tests.") and (name.startswith("test_") or name == "conftest")


def sleeps(tree: ast.Module) -> Iterator[int]:
    """Return the lines that call a sleep with a number above zero."""
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
    """Every form of import is detected."""
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
    """A sleep is detected under any name. Yielding to other tasks is not a sleep."""
    assert list(sleeps(ast.parse(code))) == lines


def test_no_module_imports_a_test() -> None:
    """Code that several tests need is in `tests/support`."""
    wrong = {
        f"{_name(path)} imports {module}"
        for path in MODULES
        for module in imported(_tree(path))
        if belongs_to_pytest(module)
    }
    assert not wrong


def test_no_test_sleeps() -> None:
    """A test waits for a condition (`tests/support/waiting.py`): a fixed time is too long on most machines, and too
    short on a busy one."""
    wrong = [f"{_name(path)}:{line}" for path in WAITING for line in sleeps(_tree(path))]
    assert not wrong


ROOT = TESTS.parent
PACKAGES = ("services", "shared", "tools")
MOST_MODULES = 20
SCRIPT_IMPORT = re.compile(r'^(?:import|export)\b[^;]*?"\./([\w-]+)\.js"', re.MULTILINE)
Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Return every module of the project by its dotted name."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def python_imports() -> Graph:
    """Return the imports of each module, including those in functions and under `TYPE_CHECKING`."""
    known = modules()
    return {name: {each for each in imported(_tree(path)) if each in known} - {name} for name, path in known.items()}


def script_imports() -> Graph:
    """Return the imports of each script of the page."""
    scripts = (ROOT / "services/gateway/web/js").glob("*.js")
    return {path.stem: set(SCRIPT_IMPORT.findall(path.read_text())) for path in scripts}


def cycles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules of which each imports all others, directly or indirectly."""

    def reached(start: str) -> set[str]:
        found, left = set[str](), [start]
        while left:
            for name in graph.get(left.pop(), ()):
                if name not in found:
                    found.add(name)
                    left.append(name)
        return found

    reach = {name: reached(name) for name in graph}
    groups = {frozenset(other for other in reach[name] if name in reach.get(other, ())) for name in graph}
    return sorted(sorted(group) for group in groups if group)


def test_a_cycle_is_seen() -> None:
    """A cycle through several modules is detected as well."""
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"d"}}) == [["a", "b", "c"]]


@pytest.mark.parametrize("imports", [python_imports, script_imports])
def test_no_module_is_part_of_an_import_cycle(imports: Callable[[], Graph]) -> None:
    """Neither the Python modules nor the scripts of the page have import cycles."""
    graph = imports()
    assert any(graph.values())
    assert cycles(graph) == []


def test_no_folder_has_more_modules_than_a_reader_can_scan() -> None:
    """Folders of the lab are exempt, because they have one file per contestant or fault."""
    counts = Counter(path.parent for path in modules().values() if path.stat().st_size and "lab" not in path.parts)
    assert {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > MOST_MODULES} == {}
