"""The pages of docs/reference are current."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from services.gateway.api.access import rules
from shared.config.settings import ServiceSettings
from tools.docs import events
from tools.docs.configuration import EXAMPLE, LINE, SETTINGS, value_text
from tools.docs.pages import FOLDER, PAGES

ASYNCAPI = Path(__file__).parents[4] / "tools/docs/asyncapi-3.0.0.schema.json.gz"
"""AsyncAPI's schema for its documents, version 3.0.0 (Apache License 2.0)."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name: str) -> None:
    """The code has not changed since the page was generated; if it has, run `make docs`."""
    assert (FOLDER / name).read_text() == PAGES[name](), "not current: make docs"


def test_every_route_of_the_api_is_in_the_reference() -> None:
    """Every route is listed with the roles that may call it. The page, its session and the probes are not part of the
    API."""
    page = (FOLDER / "api.md").read_text()
    described = {re.sub(r"{[^}]*}", "{}", title) for title in re.findall(r"^### (\w+ /\S+)$", page, re.MULTILINE)}
    public = {
        f"{rule.method} {re.sub(r'{[^}]*}', '{}', rule.path)}"
        for rule in rules()
        if rule.path.startswith(("/v1/", "/.well-known/"))
    }
    assert described == public


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_says_what_it_means(settings: type[ServiceSettings]) -> None:
    """The text below each setting is a complete sentence."""
    for name, field in settings.model_fields.items():
        assert field.description, f"{name} has nothing written under it"
        assert field.description[0] not in ".…", f"{name} goes on from another setting"


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_example_names_the_defaults(settings: type[ServiceSettings]) -> None:
    """A line of `.env.example` has the default, so uncommenting it changes nothing."""
    told = {found[1]: found[2] for found in map(LINE.fullmatch, EXAMPLE.read_text().splitlines()) if found}
    for name, field in settings.model_fields.items():
        variable = str(field.validation_alias or f"{settings.model_config['env_prefix']}{name}".upper())
        if not field.is_required():
            default = getattr(field.default, "get_secret_value", lambda value=field.default: value)()
            assert told[variable] == value_text(default), variable


def test_the_events_are_a_valid_asyncapi_document() -> None:
    """The document conforms to AsyncAPI's schema, and every reference can be resolved."""
    document = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text())
    schema = json.loads(gzip.decompress(ASYNCAPI.read_bytes()))
    assert [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(document)] == []
    for reference in references(document):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for each in node for found in references(each)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for each in node.values() for found in references(each)]


@pytest.mark.parametrize("name", events.PUBLISHED)
def test_an_event_is_published_by_the_service_that_is_named(name: str) -> None:
    """The event's type occurs in the source of that service."""
    kind = events.PUBLISHED[name]
    source = "".join(path.read_text() for path in Path("services", events.producer(kind)).rglob("*.py"))
    assert re.search(rf"\bevents\.{kind.__name__}\b|\b{kind.__name__}\(", source)
