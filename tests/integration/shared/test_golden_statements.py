"""The code of the last release on today's schema: every statement that it sends can still be answered.

`tests/golden/statements` was recorded from its processes under load: `python -m tools.lab.rolling --record`.
"""

import asyncio
import json
import re
from pathlib import Path

import asyncpg
import pytest

from tests.support.backends.databases import NewDatabase

FOLDER = Path(__file__).parents[2] / "golden/statements"
SERVICES = ("users", "orders", "worker")
INSERT = re.compile(r"\bINSERT INTO (\w+)(?: AS \w+)? \(([^)]*)\)", re.IGNORECASE)
DEMANDED = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = $1 AND is_nullable = 'NO'
        AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'
"""


def golden(service: str) -> list[str]:
    statements: list[str] = json.loads((FOLDER / f"{service}.json").read_text())
    return statements


@pytest.mark.parametrize("service", SERVICES)
def test_something_is_recorded(service: str) -> None:
    assert any(INSERT.search(statement) for statement in golden(service))
    assert any(statement.startswith("SELECT") for statement in golden(service))


@pytest.mark.parametrize("service", SERVICES)
async def test_what_the_last_release_asks_is_answered(service: str, new_database: NewDatabase) -> None:
    """Tables, columns and types that it names are there, and what it does not write is not demanded."""
    connection = await asyncpg.connect(await asyncio.to_thread(new_database, service))
    try:
        for statement in golden(service):
            await connection.prepare(statement)
            for table, columns in INSERT.findall(statement):
                demanded = {row["column_name"] for row in await connection.fetch(DEMANDED, table)}
                written = {column.strip().strip('"') for column in columns.split(",")}
                assert demanded <= written, statement
    finally:
        await connection.close()
