"""`.env.example` is the reference of the settings, so it must not fall behind them."""

import importlib
import re
from pathlib import Path

import pytest

from shared.config.settings import ServiceSettings

SERVICES = ("gateway", "users", "orders", "worker")
LINE = re.compile(r"# ([A-Z][A-Z0-9_]+)=.*  # \S.*")
DESCRIBED = {m[1] for m in map(LINE.fullmatch, Path(".env.example").read_text().splitlines()) if m}


def variables(settings: type[ServiceSettings]) -> set[str]:
    prefix = settings.model_config.get("env_prefix", "")
    fields = settings.model_fields.items()
    return {str(field.validation_alias or f"{prefix}{name}".upper()) for name, field in fields}


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_has_its_line(service: str) -> None:
    """Each setting of a service stands in `.env.example` with what it means, and no other with its prefix."""
    known = variables(importlib.import_module(f"services.{service}.settings").Settings)
    assert known <= DESCRIBED
    compose_only = {f"{service.upper()}_DB_PASSWORD"}
    assert {name for name in DESCRIBED if name.startswith(f"{service.upper()}_")} - known <= compose_only
