"""Each feature slice can be removed: its folder, the lines that mount it, and its tests. The rest works without it.

docs/architecture.md describes the same steps. `make full` also runs linters, types and the unit tests that can be
affected.
"""

import ast
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.project_copy import ROOT, UNAFFECTED, copy_project, run_in

CODE = ("services", "shared", "tools")
DESCRIBE = """
import importlib, json, pkgutil
from pathlib import Path
from typer.main import get_command
from services.gateway.api.page import site
from services.gateway.catalog.catalog import packaged
from services.gateway.api.access import rules
from shared.db.migrations import metadata_of
from tools.cli.main import app
from tools.docs import api, configuration, events

for package in ("services", "shared", "tools.cli", "tools.docs"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if ".migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print(json.dumps({
    "paths": sorted(api.openapi()["paths"]),
    "rules": sorted(rule.path for rule in rules()),
    "page": site(packaged()).assets["js/catalog.js"].body.decode(),
    "commands": sorted(get_command(app).commands),
    "tables": sorted(name for service in ("users", "worker") for name in metadata_of(f"services.{service}").tables),
    "settings": sorted(row.variable for _, _, rows in configuration.sections() for row in rows),
    "events": events.as_page(),
}))
"""


class Slice(NamedTuple):
    """`paths` begin its routes, `command` is its command, `tables` and `settings` begin with these texts, `queues` are
    those of its jobs."""

    service: str
    paths: Sequence[str]
    tables: str
    settings: str
    command: str | None = None
    queues: Sequence[str] = ()


SLICES = {
    "imports": Slice("worker", ("/v1/imports",), "import", "WORKER_IMPORT_", "import", ("imports",)),
    "reports": Slice("worker", ("/v1/reports",), "reports", "WORKER_REPORT_", "report"),
    "webhooks": Slice(
        "worker", ("/v1/webhooks",), "webhook", "WORKER_WEBHOOK_", queues=("webhooks", "revoke-webhooks")
    ),
    "digests": Slice("worker", (), "weekly_digests", "WORKER_DIGEST_", queues=("send_weekly_digest",)),
    "avatars": Slice("users", ("/v1/me/avatar", "/v1/users/{id:uuid}/avatar"), "avatars", "USERS_PICTURE_"),
}
TYPICAL = ("webhooks",)
"""The others are tested as thoroughly only in `-m long`."""
OUTSIDE = (
    *("tests/unit/deploy", "tests/unit/tools/docs", "tests/unit/test_env_example.py"),
    *("tests/unit/test_documents.py", "tests/unit/test_async_patterns.py", "tests/unit/test_security_page.py"),
    *("tests/unit/gateway/api/test_access.py", "tests/unit/test_growing.py", "tests/unit/test_slices.py"),
)
"""What is written by hand, or generated, from the code: manifests and documents must be changed with it."""


@pytest.fixture(params=SLICES)
def slice_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def remove(tree: Path, name: str) -> None:
    """The steps of docs/architecture.md."""
    removed = SLICES[name]
    shutil.rmtree(tree / "services" / removed.service / name)
    delete_lines(tree / "services" / removed.service / "main.py", [f'    "{name}",'])
    if removed.paths:
        delete_lines(file := tree / "services/gateway/panels.toml", [f'"{path}' for path in removed.paths])
        touching = "|".join(map(re.escape, removed.paths))
        file.write_text(re.sub(rf'(, )?"[A-Z]+ ({touching})[^"]*"', "", file.read_text()))
    for queue in removed.queues:
        delete_entry(tree / "shared/contracts/subscriptions.py", queue)


def delete_lines(file: Path, beginnings: Sequence[str]) -> None:
    """Lines that contain one of these texts; there is one at least."""
    lines = file.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not any(text in line for text in beginnings)]
    assert kept != lines
    file.write_text("".join(kept))


def delete_entry(file: Path, job: str) -> None:
    """The job in the dictionary `SUBSCRIPTIONS`; it is there."""
    text, deleted = re.subn(
        rf'^    "{job}": \(.*?\),\n(?=    "|}})', "", file.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    assert deleted == 1
    file.write_text(text)


def delete_tests(tree: Path, name: str) -> None:
    """Those that import the slice, or a test helper that does."""
    gone = {f"services.{SLICES[name].service}.{name}"}
    files = list((tree / "tests").rglob("*.py"))
    while importing := [path for path in files if imports(path, gone)]:
        for path in importing:
            files.remove(path)
            gone.add(".".join(path.relative_to(tree).with_suffix("").parts))
            path.unlink()


def imports(path: Path, modules: set[str]) -> bool:
    found = (f"{name}." for name in imported(ast.parse(path.read_bytes())))
    return any(name.startswith(tuple(f"{module}." for module in modules)) for name in found)


def imported(tree: ast.Module) -> list[str]:
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return names + [f"{node.module}.{alias.name}" for node in froms for alias in node.names]


def run(tree: Path, *command: str) -> str:
    return run_in(tree, [sys.executable, *command])


@pytest.mark.full
def test_the_rest_works_without_it(slice_name: str, tmp_path: Path) -> None:
    """Every module can be imported, the API merges, and neither the API, the page, the command line, the database nor
    the settings offer the slice."""
    for folder in CODE:  # with its bytecode, which saves half of the time
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("lab", "node_modules"))
    remove(tmp_path, slice_name)
    found: dict[str, Any] = json.loads(run(tmp_path, "-c", DESCRIBE))
    removed = SLICES[slice_name]
    paths = tuple(re.sub(r":\w+}", "}", path) for path in removed.paths)
    assert not [path for path in found["paths"] + found["rules"] if path.startswith(paths)]
    assert not [path for path in paths if path in found["page"]]
    assert removed.command not in found["commands"]
    assert not [table for table in found["tables"] if table.startswith(removed.tables)]
    assert not [variable for variable in found["settings"] if variable.startswith(removed.settings)]
    others = [other for name, other in SLICES.items() if name != slice_name]
    offered = [[path for path in other.paths if ":" not in path] for other in others if other.paths]
    assert all(any(path in found["page"] for path in paths) for paths in offered)
    assert {other.command for other in others if other.command} <= set(found["commands"])


@pytest.mark.full
@pytest.mark.parametrize(
    "slice_name", [pytest.param(name, marks=[] if name in TYPICAL else [pytest.mark.long]) for name in SLICES]
)
def test_style_types_and_the_other_tests_pass_without_it(slice_name: str, tmp_path: Path) -> None:
    """`ruff check --fix` removes imports that only the slice's lines needed."""
    tree = tmp_path / "dashboard"
    copy_project(tree)
    remove(tree, slice_name)
    delete_tests(tree, slice_name)
    run(tree, "-m", "ruff", "check", "-q", "--fix", "--select", "I,F401", *CODE, "tests")
    run(tree, "-m", "ruff", "format", "-q", *CODE, "tests")
    run(tree, "-m", "ruff", "check", *CODE, "tests")
    run(tree, "-m", "mypy")
    kept = [f"--ignore={path}" for path in (*OUTSIDE, *UNAFFECTED, "tests/unit/test_english.py")]
    run(tree, "-m", "pytest", "-q", "-x", "-m", "not long and not full and not docker", *kept, "tests/unit")
