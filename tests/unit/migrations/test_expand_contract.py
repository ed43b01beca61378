"""Migrations run while the code from before still does: they add, and take away only what no release uses any more.

A revision that takes something away says so, `contract = "…"`: what it is, and since which release no code uses it.
"""

import pytest

from tests.support.migrations.rendering import SERVICES, Revision, revisions, split
from tests.support.migrations.rules import breaks, locks

GROUND = {"users": "0003", "orders": "0002", "worker": "0007"}
"""The newest revisions from before this rule; they are older than any release."""
EVERY = [revision for service in SERVICES for revision in revisions(service)]
RULED = [revision for revision in EVERY if revision.id > GROUND[revision.service]]


def test_every_revision_can_be_read() -> None:
    """No revision evades the checks below by using a connection."""
    assert {revision.service for revision in EVERY} == set(SERVICES)
    assert all(revision.statements for revision in EVERY)


@pytest.mark.parametrize("service", SERVICES)
def test_revisions_form_one_line(service: str) -> None:
    """Each follows the one before, in the order of their numbers. Two that follow the same one cannot be applied."""
    ids = [revision.id for revision in revisions(service)]
    assert [revision.previous for revision in revisions(service)] == [None, *ids[:-1]]


@pytest.mark.parametrize("revision", RULED, ids=str)
def test_code_from_before_works_on_it(revision: Revision) -> None:
    found = breaks(revision.statements)
    assert not found or revision.contract, f"only in a later release, with `contract = …` saying since when: {found}"


@pytest.mark.parametrize("revision", RULED, ids=str)
def test_nobody_waits_for_it(revision: Revision) -> None:
    """`CREATE INDEX CONCURRENTLY` needs `with op.get_context().autocommit_block():`."""
    assert not locks(revision.statements)


@pytest.mark.parametrize("revision", [revision for revision in RULED if revision.contract], ids=str)
def test_a_contract_is_alone(revision: Revision) -> None:
    """Additions are in a separate revision, which can be released first."""
    assert len(breaks(revision.statements)) == len(revision.statements)


@pytest.mark.parametrize(
    ("statement", "breaking", "locking"),
    [
        ("DROP TABLE orders", True, False),
        ("ALTER TABLE orders DROP COLUMN mail", True, False),
        ("ALTER TABLE orders DROP mail", True, False),
        ("ALTER TABLE orders RENAME COLUMN mail TO mailed", True, False),
        ("ALTER TABLE orders RENAME TO purchases", True, False),
        ("ALTER TABLE orders ALTER COLUMN total TYPE numeric", True, False),
        ("ALTER TABLE orders ALTER note SET NOT NULL", True, False),
        ("ALTER TABLE orders ALTER note DROP DEFAULT", True, False),
        ("ALTER TABLE orders ADD COLUMN note text NOT NULL", True, False),
        ("ALTER TABLE orders ADD COLUMN note text NOT NULL DEFAULT ''", False, False),
        ("ALTER TABLE orders ADD COLUMN key uuid DEFAULT gen_random_uuid()", False, True),
        ("ALTER TABLE orders ADD note text", False, False),
        ("ALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0)", True, True),
        ("ALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0) NOT VALID", True, False),
        ("ALTER TABLE orders DROP CONSTRAINT c", False, False),
        ("ALTER TABLE orders ALTER note DROP NOT NULL", False, False),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON orders (total)", True, False),
        ("CREATE INDEX i ON orders (total)", False, True),
        ("CREATE INDEX CONCURRENTLY i ON orders (total)", False, False),
        ("DROP INDEX i", False, True),
        ("DROP INDEX CONCURRENTLY i", False, False),
        ("CREATE TABLE notes (id uuid NOT NULL PRIMARY KEY)", False, False),
        ("CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()", True, False),
    ],
)
def test_what_the_rules_see(statement: str, breaking: bool, locking: bool) -> None:
    assert bool(breaks([statement])) is breaking
    assert bool(locks([statement])) is locking


def test_a_new_table_is_nobodys_yet() -> None:
    """Its indexes and constraints can be created with it."""
    statements = split(
        "CREATE TABLE notes (id uuid); CREATE UNIQUE INDEX i ON notes (id); ALTER TABLE notes ADD UNIQUE (id)"
    )
    assert len(statements) == 3
    assert not breaks(statements)
    assert not locks(statements)
