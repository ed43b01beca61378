"""Webhooks, their deliveries, and lanes of the ledger in which those are tried."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIMESTAMP = sa.TIMESTAMP(timezone=True)
NOW = sa.text("now()")
DUE = ["job", "next_attempt_at"]


def upgrade() -> None:
    op.add_column("jobs", sa.Column("lane", sa.Text))
    op.drop_index("jobs_due", "jobs")
    op.create_index("jobs_due", "jobs", DUE, postgresql_where=sa.text("state = 'retrying' AND lane IS NULL"))
    in_lane = sa.text("state = 'retrying' AND lane IS NOT NULL")
    op.create_index("jobs_due_in_lane", "jobs", ["job", "lane", "next_attempt_at"], postgresql_where=in_lane)
    op.create_table(
        "webhooks",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("events", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("disabled_at", TIMESTAMP),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("old_secret", sa.Text),
        sa.Column("old_secret_until", TIMESTAMP),
        sa.Column("failing_since", TIMESTAMP),
        sa.Column("last_success_at", TIMESTAMP),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.CheckConstraint("disabled_reason IN ('owner', 'failing', 'gone')", name="webhooks_disabled_reason"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("webhook_id", sa.Uuid, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("lease_until", TIMESTAMP),
        sa.Column("response_status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("duration_ms", sa.Integer),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed', 'cancelled')", name="webhook_deliveries_state"),
        sa.ForeignKeyConstraint(["user_id", "webhook_id"], ["webhooks.user_id", "webhooks.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("user_id", "webhook_id", "event_id"),
    )
    op.create_index("webhook_deliveries_page", "webhook_deliveries", ["user_id", "webhook_id", "id"])
    op.create_index("webhook_deliveries_age", "webhook_deliveries", ["updated_at"])


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
    op.drop_index("jobs_due_in_lane", "jobs")
    op.drop_index("jobs_due", "jobs")
    op.create_index("jobs_due", "jobs", DUE, postgresql_where=sa.text("state = 'retrying'"))
    op.drop_column("jobs", "lane")
