"""The tests that docs/security.md names exist."""

import ast
import re
from pathlib import Path

import pytest

NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", Path("docs/security.md").read_text())))


def test_the_page_names_tests() -> None:
    """The page names a test for each threat."""
    rows = re.findall(r"^\| .*\| `tests/.*\|$", Path("docs/security.md").read_text(), re.MULTILINE)
    assert len(NAMED) >= len(rows) > 25


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    """Each named test exists in the named file."""
    tree = ast.parse(Path(file).read_text())
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in found
