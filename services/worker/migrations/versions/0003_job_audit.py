"""Discarded jobs, an index to list failed ones by, and the record of what operators did with dead ones."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIMESTAMP = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.drop_constraint("jobs_state", "jobs")
    op.create_check_constraint("jobs_state", "jobs", "state IN ('done', 'retrying', 'dead', 'discarded')")
    unfinished = sa.text("state IN ('dead', 'retrying')")
    op.create_index("jobs_unfinished", "jobs", [sa.text("event_id DESC"), "job"], postgresql_where=unfinished)
    op.create_table(
        "job_audit",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("actor", sa.Uuid, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("previous_state", sa.Text, nullable=False),
        sa.Column("previous_attempts", sa.Integer, nullable=False),
        sa.Column("previous_error", sa.Text),
        sa.Column("at", TIMESTAMP, nullable=False, server_default=sa.text("now()")),
        sa.CheckConstraint("action IN ('replay', 'discard')", name="job_audit_action"),
    )
    op.create_index("job_audit_job", "job_audit", ["job", "event_id"])
    op.create_index("job_audit_user", "job_audit", ["user_id"])


def downgrade() -> None:
    op.drop_table("job_audit")
    op.drop_index("jobs_unfinished", "jobs")
    op.execute("UPDATE jobs SET state = 'dead' WHERE state = 'discarded'")
    op.drop_constraint("jobs_state", "jobs")
    op.create_check_constraint("jobs_state", "jobs", "state IN ('done', 'retrying', 'dead')")
