"""Articles, orders and parcels."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "articles",
        sa.Column("sku", sa.String, primary_key=True),
        sa.Column("left", sa.Integer, nullable=False),
        sa.Column("packed", sa.Integer, nullable=False),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("email", sa.String, nullable=False),
        sa.Column("sku", sa.String, sa.ForeignKey("articles.sku"), nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
    )
    op.create_table(
        "parcels",
        sa.Column("task_id", sa.Uuid, primary_key=True),
        sa.Column("order_id", sa.Uuid, sa.ForeignKey("orders.id"), nullable=False),
    )


def downgrade() -> None:
    for table in ("parcels", "orders", "articles"):
        op.drop_table(table)
