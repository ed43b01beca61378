"""The ledger, recipients, notifications and rollups."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIMESTAMP = sa.TIMESTAMP(timezone=True)
NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("next_attempt_at", TIMESTAMP),
        sa.Column("last_error", sa.Text),
        sa.Column("error_group", sa.Text),
        sa.Column("payload", sa.LargeBinary),
        sa.Column("headers", sa.JSON),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.CheckConstraint("state IN ('done', 'retrying', 'dead')", name="jobs_state"),
    )
    op.create_index("jobs_due", "jobs", ["job", "next_attempt_at"], postgresql_where=sa.text("state = 'retrying'"))
    op.create_index("jobs_dead", "jobs", ["job", "error_group"], postgresql_where=sa.text("state = 'dead'"))
    op.create_table(
        "recipients",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("name", sa.Text),
    )
    op.create_table(
        "notifications",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("read", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", TIMESTAMP, nullable=False),
    )
    op.create_index("notifications_unread", "notifications", ["user_id", "id"], postgresql_where=sa.text("NOT read"))
    op.create_table(
        "user_rollups",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("orders", sa.BigInteger, nullable=False),
        sa.Column("items", sa.BigInteger, nullable=False),
        sa.Column("last_order_at", TIMESTAMP),
    )
    op.create_table(
        "user_status_rollups",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("status", sa.Text, primary_key=True),
        sa.Column("orders", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "user_currency_rollups",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("currency", sa.Text, primary_key=True),
        sa.Column("orders", sa.BigInteger, nullable=False),
        sa.Column("revenue", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "daily_rollups",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("currency", sa.Text, primary_key=True),
        sa.Column("orders", sa.BigInteger, nullable=False),
        sa.Column("revenue", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in (
        "daily_rollups",
        "user_currency_rollups",
        "user_status_rollups",
        "user_rollups",
        "notifications",
        "recipients",
        "jobs",
    ):
        op.drop_table(table)
