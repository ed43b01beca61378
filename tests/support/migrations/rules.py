"""Forbidden changes of tables that running code uses."""

import re
from collections.abc import Iterable

ALTER = r"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(?P<table>[\w.\"]+) "
BREAKS = {
    "drops a table": r"DROP TABLE (?:IF EXISTS )?(?P<table>[\w.\"]+)",
    "drops a column": ALTER + r".*\bDROP (?!CONSTRAINT|DEFAULT|NOT NULL|EXPRESSION|IDENTITY)(?:COLUMN )?\w+",
    "renames": ALTER + r".*\bRENAME\b",
    "changes a type": ALTER + r".*\bALTER (?:COLUMN )?\S+ (?:SET DATA )?TYPE\b",
    "takes a default away": ALTER + r".*\bDROP DEFAULT\b",
    "forbids null": ALTER + r".*\bSET NOT NULL\b",
    "demands a column": ALTER + r".*\bADD (?!CONSTRAINT)(?:COLUMN )?(?!.*\bDEFAULT\b).*\bNOT NULL\b",
    "adds a constraint": ALTER + r".*\bADD (?:CONSTRAINT \S+ )?(?:CHECK|UNIQUE|PRIMARY KEY|FOREIGN KEY|EXCLUDE)\b",
    "adds a unique index": r"CREATE UNIQUE INDEX .*?\bON (?:ONLY )?(?P<table>[\w.\"]+)",
    "drops a function": r"DROP FUNCTION (?P<table>)",
    "adds a trigger": r"CREATE (?:CONSTRAINT )?TRIGGER .*?\bON (?P<table>[\w.\"]+)",
}
"""Changes that break old code: its statements fail, or have another meaning."""
LOCKS = {
    "indexes without CONCURRENTLY": r"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY).*?\bON (?:ONLY )?(?P<table>[\w.\"]+)",
    "drops an index without CONCURRENTLY": r"DROP INDEX (?!CONCURRENTLY)(?P<table>)",
    "validates what it adds": ALTER + r".*\bADD (?:CONSTRAINT \S+ )?(?:CHECK|FOREIGN KEY)\b(?!.*\bNOT VALID\b)",
    "rewrites the table": ALTER + r".*\bDEFAULT (?:gen_random_uuid|clock_timestamp|random|nextval)\b",
    "sets the lock timeout itself": r"SET (?:LOCAL )?lock_timeout(?P<table>)",
}
"""Changes that make others wait, depending on the size of the table."""


def breaks(statements: Iterable[str]) -> list[str]:
    """Return the changes that break earlier code."""
    return _found(statements, BREAKS)


def locks(statements: Iterable[str]) -> list[str]:
    """Return the changes that make others wait."""
    return _found(statements, LOCKS)


def _found(statements: Iterable[str], rules: dict[str, str]) -> list[str]:
    """Return the changes that match, except those of tables that the same revision creates, which are not yet in
    use."""
    statements = list(statements)
    made = {match[1] for each in statements if (match := re.match(r"CREATE TABLE (?:IF NOT EXISTS )?([\w.\"]+)", each))}
    return [
        f"{name}: {statement}"
        for statement in statements
        for name, rule in rules.items()
        if (match := re.match(rule, statement, re.IGNORECASE)) and match["table"] not in made
    ]
