"""Revenue beyond a bigint: what does not fit into `revenue` is in a column beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = ("user_currency_rollups", "daily_rollups")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("revenue_beyond", sa.Numeric, nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "revenue_beyond")
