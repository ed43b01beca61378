"""The statements in Postgres's log, stored as golden files, which later schemas must still support."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tools.devstack.system.databases import execute

FOLDER = Path(__file__).parents[3] / "tests/golden/statements"
DATABASES = ("users", "orders", "worker")
SAID = re.compile(
    r"^(?P<database>\w+) (?P=database)\|LOG:  (?:execute [^:]+|statement): (?P<sql>.*(?:\n\t.*)*)", re.MULTILINE
)
OURS = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
OTHERS = re.compile(r"\bpg_|alembic_version|information_schema|current_schema|set_config", re.IGNORECASE)


def log_all(url: str) -> None:
    execute(url, "ALTER SYSTEM SET log_statement = 'all'")
    execute(url, "ALTER SYSTEM SET log_line_prefix = '%d %u|'")
    execute(url, "SELECT pg_reload_conf()")


def keep(log: Path) -> None:
    """Write one file per database."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for database, sql in asked(log.read_text(errors="replace")):
        found[database].add(sql)
    FOLDER.mkdir(exist_ok=True)
    for database in DATABASES:
        text = json.dumps(sorted(found[database]), indent=1, ensure_ascii=False)
        (FOLDER / f"{database}.json").write_text(text + "\n")


def asked(log: str) -> Iterator[tuple[str, str]]:
    """Return database and statement of those that a service's role has sent, without Alembic's."""
    for match in SAID.finditer(log):
        sql = " ".join(match["sql"].split())
        if match["database"] in DATABASES and OURS.match(sql) and not OTHERS.search(sql):
            yield match["database"], sql
