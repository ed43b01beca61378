"""Clients that others generate from the document: docs/how-to/generate-a-client.md, with the versions of
tools/clients."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.e2e.openapi.system import PATIENCE_S, Service, System

ROOT = Path(__file__).parents[3]
TOOLS = ROOT / "tools/clients"
PAGE = (ROOT / "docs/how-to/generate-a-client.md").read_text()
UV = Path(sys.prefix) / "bin/uv"
TIMEOUT_S = 300
STRICT = ("--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "false")

pytestmark = pytest.mark.full


def example(language: str) -> str:
    """Return the example in this language on the page."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(code)


async def run(folder: Path, *command: str | Path, **environment: str) -> str:
    """Return what a command prints. Fails with it if the command fails."""

    def wait() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, command)),
            cwd=folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    done = await asyncio.to_thread(wait)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


async def document_of(gateway: Service) -> str:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=PATIENCE_S) as http:
        return (await http.get("/openapi.json")).raise_for_status().text


def environment_of(gateway: Service) -> Mapping[str, str]:
    token = gateway.credentials["user"].headers()["Authorization"].removeprefix("Bearer ")
    return {"BASE": gateway.url, "TOKEN": token}


async def test_the_generated_python_client_works(system: System, tmp_path: Path) -> None:
    """It has every operation and passes mypy. The example on the page reads a dashboard, pays an order, and reads the
    code of an error."""
    gateway = system.services["gateway"]
    document = await document_of(gateway)
    (tmp_path / "openapi.json").write_text(document)
    (tmp_path / "example.py").write_text(example("python"))
    await run(tmp_path, UV, "venv", "-q", "--python", sys.executable, "env")
    python = tmp_path / "env/bin/python"
    await run(tmp_path, UV, "pip", "sync", "-q", "--require-hashes", "--python", python, TOOLS / "requirements.txt")
    await run(
        tmp_path,
        *(python.with_name("openapi-python-client"), "generate", "--path", "openapi.json", "--meta", "none"),
        *("--output-path", "dashboard_client", "--config", TOOLS / "openapi-python-client.yaml", "--fail-on-warning"),
        PATH=f"{python.parent}:{os.environ['PATH']}",
    )
    operations = [each["operationId"] for item in json.loads(document)["paths"].values() for each in item.values()]
    generated = {path.stem for path in (tmp_path / "dashboard_client/api").rglob("*.py")}
    assert set(operations) <= generated
    checking = ("-m", "mypy", "--strict", "--python-executable", python, "--cache-dir", "cache", "--config-file=")
    # Not the generator's own client.py, whose `__exit__` is less strict than that of httpx.
    files = ("example.py", "dashboard_client/api", "dashboard_client/models")
    await run(tmp_path, sys.executable, *checking, "--follow-imports=silent", *files)
    printed = await run(tmp_path, python, "example.py", **environment_of(gateway))
    assert printed.splitlines() == [
        "panels: ['analytics', 'notifications', 'orders', 'user']",
        "order: paid",
        "error: order_not_found",
    ]


async def test_the_generated_typescript_client_works(system: System, tmp_path: Path) -> None:
    """The example on the page compiles in strict mode, also where it depends on the codes of errors, and does the same
    in node."""
    if shutil.which("npm") is None:
        pytest.skip("without npm")
    gateway = system.services["gateway"]
    (tmp_path / "openapi.json").write_text(await document_of(gateway))
    (tmp_path / "example.ts").write_text(example("ts"))
    for name in ("package.json", "package-lock.json"):
        shutil.copy(TOOLS / name, tmp_path)
    await run(tmp_path, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
    binaries = tmp_path / "node_modules/.bin"
    await run(tmp_path, binaries / "openapi-typescript", "openapi.json", "--output", "schema.d.ts")
    await run(tmp_path, binaries / "tsc", *STRICT, "example.ts")
    printed = await run(tmp_path, "node", "example.js", **environment_of(gateway))
    assert printed.splitlines() == ["panels: orders, user", "order: paid", "error: order_not_found"]
    wrong = example("ts").replace('case "wrong_state"', 'case "no_such_code"')
    (tmp_path / "wrong.ts").write_text(wrong)
    with pytest.raises(AssertionError, match="no_such_code"):
        await run(tmp_path, binaries / "tsc", *STRICT, "--noEmit", "wrong.ts")
