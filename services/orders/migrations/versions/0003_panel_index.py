"""An index that has all that the panel of orders shows."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Postgres reads the index alone where it knows a page to be visible to all, which vacuuming notes. By default it does
# that after a fifth of the table has changed.
VACUUM_OFTEN = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02"


def upgrade() -> None:
    # May be run again after the first of its two steps.
    op.execute(f"ALTER TABLE orders SET ({VACUUM_OFTEN})")
    with op.get_context().autocommit_block():
        op.create_index(
            "orders_panel",
            "orders",
            ["user_id", "id"],
            postgresql_include=["status", "total", "currency", "item_count", "created_at"],
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    op.drop_index("orders_panel", "orders")
    op.execute("ALTER TABLE orders RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor)")
