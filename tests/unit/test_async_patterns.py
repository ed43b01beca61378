"""Every file and name on the page of async patterns exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/async-patterns.md").read_text()
PLACE = re.compile(r"`((?:services|shared|tools|tests)/[\w/]+\.py)`(?::((?:,? `[\w.]+`)+))?")
PLACES = [(path, re.findall(r"[\w.]+", names)) for path, names in PLACE.findall(PAGE)]
PATTERNS = (
    "Async endpoints",
    "session dependency",
    "Repository",
    "Get with related rows",
    "`gather` |",
    "collected errors",
    "`TaskGroup`",
    "`fetch_many` |",
    "Timeout with its own error",
    "`BackgroundTasks`",
    "Background processor",
    "Client lifecycle",
    "Async generator",
    "Iteration over all pages",
    "executor",
)
"""The patterns of the style guide, each the beginning or a part of a row's first cell."""


@cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_bytes())


def named(node: ast.stmt) -> set[str]:
    """Return the names that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def exists(path: str, name: str) -> bool:
    """Return whether a module defines the name. `Class.method` is looked up in the class."""
    body: list[ast.stmt] = tree(path).body
    for part in name.split("."):
        found = next((node for node in body if part in named(node)), None)
        if found is None:
            return False
        body = getattr(found, "body", [])
    return True


@pytest.mark.parametrize(("path", "names"), PLACES, ids=[path for path, _ in PLACES])
def test_what_the_page_names_exists(path: str, names: list[str]) -> None:
    assert (ROOT / path).is_file()
    assert [name for name in names if not exists(path, name)] == []


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern_of_the_guide_has_a_row_with_a_place(pattern: str) -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and pattern in row.partition(" | ")[0] + " |"]
    assert len(rows) == 1
    assert PLACE.search(rows[0])


def test_a_name_that_is_absent_is_noticed() -> None:
    """Absent names of a module and of a class are found."""
    path = "services/orders/repository.py"
    assert exists(path, "OrderRepository.get_with_items")
    assert not exists(path, "OrderRepository.get_with_everything")
    assert not exists(path, "Repository")
