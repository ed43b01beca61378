"""docs/scaling.md describes the distribution of all tables, and of no others."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from shared.db.migrations import metadata_of

PAGE = Path("docs/scaling.md").read_text()
SERVICES = ("users", "orders", "worker")
DISTRIBUTED = set(re.findall(r"create_distributed_table\('(\w+)', '(?:user_id|id)'", PAGE))
LOCAL = set(re.findall(r"^\| `(\w+)` \| stays", PAGE, re.MULTILINE))
OWN_ROW = "users"
"""The table that is distributed by `id`, which is the user's id."""


def tables() -> list[sa.Table]:
    return [table for service in SERVICES for table in metadata_of(f"services.{service}").sorted_tables]


def test_every_table_is_distributed_or_said_to_stay() -> None:
    """Every table is mentioned, and every mentioned table exists."""
    names = {table.name for table in tables()}
    assert names == DISTRIBUTED | LOCAL
    assert not DISTRIBUTED & LOCAL


@pytest.mark.parametrize("table", [one for one in tables() if one.name in DISTRIBUTED], ids=lambda table: table.name)
def test_the_key_of_a_distributed_table_begins_with_the_user(table: sa.Table) -> None:
    """The table can then be distributed without a change of its schema."""
    first = next(iter(table.primary_key.columns)).name
    assert first == ("id" if table.name == OWN_ROW else "user_id")


@pytest.mark.parametrize("table", [one for one in tables() if one.name in DISTRIBUTED], ids=lambda table: table.name)
def test_what_is_unique_names_the_user(table: sa.Table) -> None:
    """A distributed table cannot have values that are unique across users. The page describes a change for each that
    is."""
    unique = [index.columns.keys() for index in table.indexes if index.unique]
    unique += [one.columns.keys() for one in table.constraints if isinstance(one, sa.UniqueConstraint)]
    across = {(table.name, *columns) for columns in unique if "user_id" not in columns}
    assert across <= {("users",), ("mails", "event_id")}
    assert {"users_email_key", "mails_event_id_key"} <= set(re.findall(r"\w+_key", PAGE))
