"""The guarantees of the image and compose, read from their files: no root, no capabilities, nothing writable."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OBSERVERS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "deploy/compose/observability.yml").read_text())[
    "services"
]
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"] | OBSERVERS
OURS = [name for name, service in SERVICES.items() if service["image"] == "dashboard"]
OTHERS = [name for name in SERVICES if name not in OURS]
WRITES_ITS_ROOT = {"rabbitmq"}
ROOT_USERS = ("", "0", "root")


def user_of(service: dict[str, Any]) -> str:
    return str(service.get("user", "")).partition(":")[0]


def test_the_image_runs_as_an_ordinary_user() -> None:
    """The user is a number, so that Kubernetes can verify that it is not root."""
    [user] = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert user == "10001:10001"
    assert DOCKERFILE.index("USER ") > DOCKERFILE.rindex("RUN ")


def test_every_base_has_a_patch_version_and_can_be_given_by_digest() -> None:
    """Each `FROM` is a build argument or nothing, and each argument's default an exact version."""
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert {base.strip("${}") for base in bases} - {"scratch"} == arguments.keys()
    assert all(re.search(r":\d+\.\d+\.\d+", default) for default in arguments.values())


def test_everything_that_the_image_copies_reaches_the_builder() -> None:
    """What a stage copies from the project is not left out by .dockerignore."""
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [
        line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    assert copied
    assert {source for sources in copied for source in sources} <= set(allowed)


def test_the_image_is_one_layer_of_the_slim_stage() -> None:
    """What was removed from the base is not in a layer below."""
    final = DOCKERFILE.rpartition("FROM ")[2]
    assert final.startswith("scratch\nCOPY --from=slim / /\n")
    assert final.count("COPY ") == 1
    assert "RUN " not in final


@pytest.mark.parametrize("name", OURS)
def test_our_processes_can_write_nothing_but_tmp(name: str) -> None:
    """Only `/tmp` and volumes are writable. Processes gain no privileges, and run only as the image's user."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert "user" not in service
    volumes = [str(volume) for volume in service.get("volumes", [])]
    assert all(volume.endswith(":ro") or not volume.startswith((".", "/")) for volume in volumes)


@pytest.mark.parametrize("name", OTHERS)
def test_the_servers_run_as_users_of_their_own(name: str) -> None:
    """The root file system is read-only if the image supports it, and the version does not change to the next major
    one."""
    service = SERVICES[name]
    assert user_of(service) not in ROOT_USERS
    assert service.get("read_only", False) is (name not in WRITES_ITS_ROOT)
    assert re.search(r":v?\d", service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_has_capabilities(name: str) -> None:
    """All capabilities are dropped, none can be added or gained, and the host's resources are not accessible."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    forbidden = {"cap_add", "privileged", "network_mode", "pid", "ipc", "devices", "userns_mode"}
    assert forbidden.isdisjoint(service)
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


def test_only_the_gateway_is_published_and_on_its_public_port_alone() -> None:
    """Metrics and internal paths are on the other port, which is not published. Grafana is published only on this
    machine."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "gateway": ["${BIND:-127.0.0.1}:${PORT:-8000}:8000"],
        "grafana": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
    }
    assert SERVICES["gateway"]["environment"]["GATEWAY_INTERNAL_PORT"] != 8000
