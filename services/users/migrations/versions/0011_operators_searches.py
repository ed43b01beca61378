"""Indexes for what operators search: the beginning of an address, and an action of the audit log."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
INDEXES = {
    "users_email_beginning": "users (lower(email) text_pattern_ops)",
    "audit_action": "audit (action, id)",
}


def upgrade() -> None:
    # May be run again after any of its steps.
    with op.get_context().autocommit_block():
        for name, columns in INDEXES.items():
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {columns}")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
