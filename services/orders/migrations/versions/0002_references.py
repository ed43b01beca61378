"""The references under which imported orders are known to their user."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN reference text")
    op.execute("CREATE UNIQUE INDEX orders_reference ON orders (user_id, reference) WHERE reference IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX orders_reference")
    op.execute("ALTER TABLE orders DROP COLUMN reference")
