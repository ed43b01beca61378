"""Indexes that have all that the panels of the worker show."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Keys and what else is read, by table.
TABLES = {
    "notifications": (["user_id", "id"], ["kind", "title", "read", "created_at"]),
    "daily_rollups": (["user_id", "day", "currency"], ["orders", "revenue", "revenue_beyond"]),
}
# Postgres reads the index alone where it knows a page to be visible to all, which vacuuming notes. By default it does
# that after a fifth of the table has changed.
VACUUM_OFTEN = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02"


def upgrade() -> None:
    # May be run again after any of its steps.
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} SET ({VACUUM_OFTEN})")
    with op.get_context().autocommit_block():
        for table, (keys, included) in TABLES.items():
            op.create_index(
                f"{table}_panel",
                table,
                keys,
                postgresql_include=included,
                postgresql_concurrently=True,
                if_not_exists=True,
            )


def downgrade() -> None:
    for table in TABLES:
        op.drop_index(f"{table}_panel", table)
        op.execute(f"ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor)")
