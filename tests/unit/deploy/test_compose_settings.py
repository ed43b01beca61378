"""Every documented setting reaches its container."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.gateway.catalog.catalog import packaged
from shared.config.settings import ServiceSettings

SERVICES = ("gateway", "users", "orders", "worker")
COMPOSE: dict[str, Any] = yaml.safe_load(Path("docker-compose.yml").read_text())
DOCUMENTED = re.findall(r"^# ([A-Z][A-Z0-9_]+)=", Path(".env.example").read_text(), re.MULTILINE)
FIXED = re.compile(r"LISTEN_HOST|[A-Z]+_(PORT|INTERNAL_PORT)")
"""The ports and addresses of containers, which the compose file itself publishes and uses."""
SHARED = tuple(
    str(field.validation_alias) for field in ServiceSettings.model_fields.values() if field.validation_alias is not None
)
LIFETIMES = ("ACCESS_TOKEN_TTL_S", "REFRESH_TOKEN_TTL_S")
SERVICE_URLS = {f"GATEWAY_{name.upper()}_URL" for name in packaged().services}
"""The addresses of the services in the panels file (docs/panels.md)."""
OLD = {"SMTP_URL", "STORAGE_URL"}
"""Names of WORKER_SMTP_URL and WORKER_STORAGE_URL in versions before 0.2."""


def environment(service: str) -> dict[str, Any]:
    told: dict[str, Any] = COMPOSE["services"][service]["environment"]
    return told


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_reaches_its_service(service: str) -> None:
    """A value in `.env` reaches its service: it is passed on unchanged, or is a part of the value."""
    prefix = f"{service.upper()}_"
    wanted = {name for name in DOCUMENTED if name.startswith(prefix)} - {f"{prefix}DB_PASSWORD"}
    wanted |= {name for name in LIFETIMES if service in ("gateway", "users")}
    wanted |= {"PUBLIC_URL"} if service == "worker" else set()
    told = environment(service)
    for name in wanted | set(SHARED):
        assert name in told
        value = told[name]
        assert FIXED.fullmatch(name) or value is None or f"${{{name}:-" in str(value), name


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_is_told_what_is_anothers(service: str) -> None:
    """Each service receives only its own settings and secrets."""
    others = tuple(f"{name.upper()}_" for name in SERVICES if name != service)
    assert not [name for name in environment(service) if name.startswith(others)]


def test_a_panels_file_of_ones_own_can_be_mounted() -> None:
    """The folder is mounted read-only, and exists. Without the setting the gateway reads the file of its image."""
    gateway = COMPOSE["services"]["gateway"]
    [mount] = [volume for volume in gateway["volumes"] if "panels" in volume]
    folder, inside, mode = mount.split(":")
    assert Path(folder).is_dir()
    assert f"GATEWAY_PANELS_FILE={inside}/" in (Path(folder) / "README.md").read_text()
    assert (mode, gateway["environment"]["GATEWAY_PANELS_FILE"]) == ("ro", None)


def test_what_compose_itself_takes_is_documented() -> None:
    """Every variable in a value of docker-compose.yml is documented."""
    used = re.findall(r"\${([A-Z][A-Z0-9_]*)", Path("docker-compose.yml").read_text())
    assert set(used) <= set(DOCUMENTED) | OLD | SERVICE_URLS
