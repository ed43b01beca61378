"""An hour of the jobs' history, the running workers, and indexes for operators who search by type or time."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
TIMESTAMP = sa.TIMESTAMP(timezone=True)
COUNT = sa.text("0")
INDEXES = {"jobs_type": "jobs (event_type, event_id DESC, job)", "jobs_arrived": "jobs (job, created_at)"}


def upgrade() -> None:
    # May be run again after any of its steps.
    op.create_table(
        "job_minutes",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("minute", TIMESTAMP, primary_key=True),
        sa.Column("done", sa.BigInteger, nullable=False, server_default=COUNT),
        sa.Column("failed", sa.BigInteger, nullable=False, server_default=COUNT),
        sa.Column("retried", sa.BigInteger, nullable=False, server_default=COUNT),
        sa.Column("durations", sa.ARRAY(sa.BigInteger), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False, server_default=sa.text("now()")),
        sa.Column("seen_at", TIMESTAMP, nullable=False, server_default=sa.text("now()")),
        sa.Column("in_progress", sa.JSON, nullable=False),
        sa.Column("consumers", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("consumers_expected", sa.Integer, nullable=False),
        if_not_exists=True,
    )
    with op.get_context().autocommit_block():
        for name, columns in INDEXES.items():
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {columns}")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.drop_table("workers")
    op.drop_table("job_minutes")
