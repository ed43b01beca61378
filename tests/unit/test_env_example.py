"""`.env.example` has every setting, and there are few."""

import re
from pathlib import Path

import pytest

from shared.config.settings import ServiceSettings
from shared.feature import settings_of

SERVICES = ("gateway", "users", "orders", "worker")
LINE = re.compile(r"# ([A-Z][A-Z0-9_]+)=.*  # \S.*")
MOST = 90
"""More than an operator can read through is configuration that nobody knows."""
DESCRIBED = {m[1] for m in map(LINE.fullmatch, Path(".env.example").read_text().splitlines()) if m}


def variables(settings: type[ServiceSettings]) -> set[str]:
    prefix = settings.model_config.get("env_prefix", "")
    fields = settings.model_fields.items()
    return {str(field.validation_alias or f"{prefix}{name}".upper()) for name, field in fields}


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_has_its_line(service: str) -> None:
    """Each setting of a service stands in `.env.example` with what it means, and no other with its prefix."""
    known = set().union(*map(variables, settings_of(f"services.{service}")))
    assert known <= DESCRIBED
    compose_only = {f"{service.upper()}_DB_PASSWORD"}
    assert {name for name in DESCRIBED if name.startswith(f"{service.upper()}_")} - known <= compose_only


def test_there_are_few_settings() -> None:
    """Each variable counts, those that several services read by one name once, and those of Docker Compose, too."""
    page = Path("docs/reference/configuration.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \|", page, re.MULTILINE))
    assert documented == DESCRIBED
    assert len(DESCRIBED) <= MOST
