"""The packages that the project declares are those that it imports."""

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNDECLARED = {"h2"}
"""pyqwest imports it, and does not declare it."""


def modules_of(path: Path) -> set[str]:
    """The top-level modules that a file imports."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_every_dependency_is_imported() -> None:
    """What only another package needs is that one's to declare."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[^\w.-]", each)[0] for each in declared}
    paths = [
        path
        for folder in ("services", "shared", "tools/cli", "tools/devstack")
        for path in (ROOT / folder).rglob("*.py")
    ]
    modules = set[str]().union(*map(modules_of, paths))
    of = packages_distributions()
    imported = {name.lower().replace("_", "-") for module in modules for name in of.get(module, ())}
    assert names - imported == UNDECLARED
