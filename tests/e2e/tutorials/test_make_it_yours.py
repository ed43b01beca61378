"""docs/how-to/make-it-yours.md, applied to a copy of the project: what is left works without the orders, with another
service."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.e2e.tutorials.blocks import blocks, write
from tests.e2e.tutorials.terminal import terminal
from tests.support.backends.databases import NewDatabase
from tests.support.project_copy import ROOT, UNAFFECTED, copy_project, run_in

PAGE = (ROOT / "docs/how-to/make-it-yours.md").read_text()
DESCRIBE = """
import importlib, json, pkgutil
from pathlib import Path
from services.gateway import main
from services.gateway.settings import Settings
from shared.http.openapi import document
from tools.docs import api

for package in ("services", "shared", "tools"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if ".migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
app = main.create_app(Settings(environment="development", panels_file="panels.toml"))
documents = {name: service.openapi() for name, service in api.services().items()}
found = main.whole_api(document(app), app.state.catalog, documents)
print(json.dumps({
    "services": list(app.state.catalog.services),
    "panels": [panel.name for panel in app.state.catalog.panels],
    "passed": sorted(operation.signature for operation in app.state.catalog.operations),
    "paths": sorted(found["paths"]),
}))
"""
"""Import every module that is left, and print what the gateway offers with the new file."""
NOWHERE = "amqp://127.0.0.1:1/"
REST = ("tests/unit/gateway", "tests/unit/shared", "tests/unit/users", "tests/unit/worker")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The project after every step of the page."""
    copy_project(project := tmp_path / "mine")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "PYTEST_"))}
    with terminal(project, own | {"PYTHONPATH": str(project)}) as reader:
        for block in blocks(PAGE):
            if block.file is not None:
                write(block, project)
            elif block.language == "sh":
                reader.type(block.text)
    return project


def run(project: Path, *command: str) -> str:
    return run_in(project, [sys.executable, *command], {"ENVIRONMENT": "development"})


@pytest.mark.full
async def test_what_is_left_works_and_the_gateway_offers_the_new_service(mine: Path, new_database: NewDatabase) -> None:
    """Every module is imported, and the demo accounts are created once. The page's own commands have checked style and
    layers. No path, panel or service is about orders."""
    told = {"ENVIRONMENT": "development", "USERS_DATABASE_URL": new_database("users"), "USERS_RABBITMQ_URL": NOWHERE}
    for _ in range(2):
        run_in(mine, [sys.executable, "-c", "from tools.cli import seed; seed.run()"], told)
    users = await asyncpg.connect(told["USERS_DATABASE_URL"])
    try:
        assert await users.fetchval("SELECT count(*) FROM users") == 2
    finally:
        await users.close()
    found: dict[str, Any] = json.loads(run(mine, "-c", DESCRIBE))
    assert found["services"] == ["users", "loyalty", "worker"]
    assert found["panels"] == ["user", "points", "notifications"]
    assert "POST /v1/points/redeem" in found["passed"]
    assert {"/v1/me", "/v1/notifications", "/v1/webhooks"} <= set(found["paths"])
    gone = ("/v1/orders", "/v1/imports", "/v1/reports")
    assert not [path for path in [*found["paths"], *found["passed"]] if any(name in path for name in gone)]
    assert not (mine / "services/orders").exists()


@pytest.mark.full
def test_types_and_the_other_tests_pass_without_orders(mine: Path) -> None:
    """Those that need no server. Tests of manifests and documents are left to the reader, as the page says. Those that
    the steps cannot affect are only imported."""
    run_in(mine, [sys.executable, "-m", "mypy"])
    pytest_of = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not long and not full and not docker", *REST]
    run_in(mine, [*pytest_of, "--collect-only"])
    run_in(mine, [*pytest_of, *(f"--ignore={path}" for path in UNAFFECTED)])
