"""The guarantees of the production setup of compose, read from its file, which extends docker-compose.yml."""

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose_file import read_compose

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/compose/production.yml"
PRODUCTION = read_compose(FILE)
BASE = read_compose(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = PRODUCTION["services"]
ADDED = [name for name, service in SERVICES.items() if name not in BASE["services"] and "extends" not in service]
PROCESSES = ("gateway", "users", "orders", "worker")
OTHERS = ("AWS_", "RABBITMQ_MANAGEMENT")
"""Variables that are not secrets of ours: docs/security.md."""
SECRET = re.compile(r"PASSWORD|SECRET|KEYS|DATABASE_URL|RABBITMQ_URL|PASS\b")


def test_only_the_front_is_published() -> None:
    published = [name for name, service in SERVICES.items() if service.get("ports")]
    assert published == ["front"]
    assert all(name in SERVICES and "ports" in SERVICES[name] for name in ("gateway", "gateway-2"))


@pytest.mark.parametrize("name", PROCESSES)
def test_there_are_two_of_each(name: str) -> None:
    """The second process is configured like the first, and every client knows both."""
    second = SERVICES[f"{name}-2"]
    assert second["extends"] == {"file": "docker-compose.yml", "service": name}
    assert {key: second[key] for key in SERVICES[name]} == SERVICES[name]
    if name != "gateway":
        assert f"http://{name}:8000,http://{name}-2:8000" in SERVICES["gateway"]["environment"].values()


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "seed"])
def test_everything_has_limits_and_logs_that_end(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", ADDED)
def test_what_is_added_is_as_confined_as_the_rest(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["user"] == "10001:10001"
    assert service["pids_limit"] > 0
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_in_an_environment(name: str) -> None:
    """A secret of the first file is removed here, and replaced by the name of a file."""
    here = SERVICES[name].get("environment") or {}
    for variable in {*here, *(BASE["services"].get(name, {}).get("environment") or {})}:
        if SECRET.search(variable) and not variable.endswith("_FILE") and not variable.startswith(OTHERS):
            assert not here[variable], variable
            told = here.get(f"{variable}_FILE")
            assert told is None or told.removeprefix("/run/secrets/") in SERVICES[name]["secrets"]


def test_every_secret_has_its_file(tmp_path: Path) -> None:
    """`make secrets` writes exactly the files that compose reads, in a folder that only its owner can enter."""
    command = [sys.executable, str(ROOT / "deploy/compose/secret_files.py")]
    (tmp_path / ".env").write_text("# kept\nRABBITMQ_PASSWORD=of-before\n")
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    folder = tmp_path / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == set(PRODUCTION["secrets"])
    assert (folder / "rabbitmq_url").read_text() == "amqp://dashboard:of-before@rabbitmq:5672/\n"
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 1


@pytest.mark.parametrize("name", ["upgrade.sh", "restore.sh"])
def test_the_scripts_know_every_process(name: str) -> None:
    script = (ROOT / "deploy/compose" / name).read_text()
    [listed] = re.findall(r"^services=\"([\w -]+)\"", script, re.MULTILINE)
    assert {f"{process}{suffix}" for process in PROCESSES for suffix in ("", "-2")} <= set(listed.split())
