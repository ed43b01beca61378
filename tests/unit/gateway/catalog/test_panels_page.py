"""docs/panels.md describes the panels file completely."""

import re
import tomllib
from pathlib import Path

import pytest

from services.gateway.api.access import own_paths
from services.gateway.catalog.catalog import load
from services.gateway.catalog.schema import PanelsFile, PanelTable, RouteTable, ServiceTable, Table

PAGE = (Path(__file__).parents[4] / "docs/panels.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(
    ("section", "table"), [("Services", ServiceTable), ("Panels", PanelTable), ("Routes", RouteTable)]
)
def test_every_key_has_its_row(section: str, table: type[Table]) -> None:
    """In the order of the schema, and no row is about a key that does not exist."""
    [keys] = re.findall(r"^\| key \|.*?\n\|---.*?\n(.*?)\n\n", SECTIONS[section], re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| `(\w+)` \|", keys, re.MULTILINE) == list(table.model_fields)


@pytest.mark.parametrize(
    ("section", "table"), [("Services", ServiceTable), ("Panels", PanelTable), ("Routes", RouteTable)]
)
def test_required_keys_are_marked(section: str, table: type[Table]) -> None:
    """And no others."""
    marked = set(re.findall(r"^\| `(\w+)` \| required \|", SECTIONS[section], re.MULTILINE))
    assert marked == {name for name, field in table.model_fields.items() if field.is_required()}


def test_the_keys_of_the_file_are_described() -> None:
    assert all(name in SECTIONS or f"`{name}`" in PAGE or f"[{name}." in PAGE for name in PanelsFile.model_fields)


def test_the_example_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, with its secret."""
    [example] = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert tomllib.loads(example)
    (tmp_path / "panels.toml").write_text(example)
    monkeypatch.setenv("CRM_KEY", "secret")
    catalog = load(tmp_path / "panels.toml", own_paths())
    assert [operation.touches for operation in catalog.operations] == [("loyalty",)]
