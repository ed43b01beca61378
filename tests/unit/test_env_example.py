"""`.env.example` has every setting, and their number is limited."""

import re
from pathlib import Path

import pytest

from shared.config.settings import ServiceSettings
from shared.feature import settings_of

SERVICES = ("gateway", "users", "orders", "worker")
LINE = re.compile(r"# ([A-Z][A-Z0-9_]+)=.*  # \S.*")
MOST = 90
"""The maximum number of settings, so that an operator can read all of them."""
DESCRIBED = {m[1] for m in map(LINE.fullmatch, Path(".env.example").read_text().splitlines()) if m}


def variables(settings: type[ServiceSettings]) -> set[str]:
    prefix = settings.model_config.get("env_prefix", "")
    fields = settings.model_fields.items()
    return {str(field.validation_alias or f"{prefix}{name}".upper()) for name, field in fields}


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_has_its_line(service: str) -> None:
    """`.env.example` has each setting of a service with its meaning, and no other variable with its prefix."""
    known = set().union(*map(variables, settings_of(f"services.{service}")))
    assert known <= DESCRIBED
    compose_only = {f"{service.upper()}_DB_PASSWORD"}
    assert {name for name in DESCRIBED if name.startswith(f"{service.upper()}_")} - known <= compose_only


def test_there_are_few_settings() -> None:
    """Each variable counts. A name that several services read counts once, and those of Docker Compose count, too."""
    page = Path("docs/reference/configuration.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \|", page, re.MULTILINE))
    assert documented == DESCRIBED
    assert len(DESCRIBED) <= MOST
