"""The last weekly digest of each user."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "weekly_digests",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("week", sa.Date, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("weekly_digests")
