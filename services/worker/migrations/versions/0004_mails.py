"""The ledger of what was sent by mail."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIMESTAMP = sa.TIMESTAMP(timezone=True)
NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "mails",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("uncertain_attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("lease_until", TIMESTAMP),
        sa.Column("server_reply", sa.Text),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.CheckConstraint("state IN ('sending', 'sent', 'uncertain', 'rejected', 'withdrawn')", name="mails_state"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_index("mails_age", "mails", ["updated_at"])


def downgrade() -> None:
    op.drop_table("mails")
