"""When orders changed their status."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without a foreign key, which would lock the table of orders: an order is never deleted.
    op.create_table(
        "order_changes",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("status", sa.Text, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("order_changes")
