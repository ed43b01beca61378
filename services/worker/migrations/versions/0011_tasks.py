"""Tasks: delayed ones, keys, schedules, paused jobs, and a log of every attempt at a job.

The checks of states and actions are dropped: each new value would need two releases, one to drop the old check and one
to add the wider one.
"""

import sqlalchemy as sa
from alembic import op

from shared.outbox import outbox

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
TIMESTAMP = sa.TIMESTAMP(timezone=True)
CHECKS = {"jobs_state": "jobs", "job_audit_action": "job_audit"}
REQUIRED = ("event_id", "previous_state", "previous_attempts")
"""The columns of `job_audit` that an action on a whole job or schedule leaves empty."""
INDEXES = {
    "jobs_next": ("jobs (job, next_attempt_at)", "state IN ('retrying', 'scheduled') AND lane IS NULL"),
    "jobs_open": ("jobs (event_id DESC, job)", "state IN ('dead', 'retrying', 'scheduled')"),
    "jobs_closed": ("jobs (event_id DESC, job)", "state IN ('cancelled', 'discarded', 'suppressed')"),
    "jobs_user": ("jobs (user_id, event_id DESC, job)", "user_id IS NOT NULL"),
    "jobs_ended": ("jobs (updated_at)", "state IN ('done', 'cancelled', 'suppressed')"),
    "jobs_key_waiting": (
        "jobs (job, task_key)",
        "task_key IS NOT NULL AND started_at IS NULL AND state IN ('retrying', 'scheduled')",
    ),
    "jobs_key_started": ("jobs (job, task_key, started_at)", "task_key IS NOT NULL AND started_at IS NOT NULL"),
}
REPLACED = {
    "jobs_due": ("jobs (job, next_attempt_at)", "state = 'retrying' AND lane IS NULL"),
    "jobs_unfinished": ("jobs (event_id DESC, job)", "state IN ('dead', 'retrying')"),
    "jobs_done": ("jobs (updated_at)", "state = 'done'"),
    "jobs_of_user": ("jobs (user_id)", "state <> 'done'"),
}
"""Earlier code finds its rows by the new indexes: their conditions follow from its own."""


def upgrade() -> None:
    # May be run again after any of its steps.
    for statement in outbox.ADD_TASK_COLUMNS:
        op.execute(statement)
    op.execute(
        "ALTER TABLE jobs ADD COLUMN IF NOT EXISTS task_key text, ADD COLUMN IF NOT EXISTS started_at timestamptz,"
        " ADD COLUMN IF NOT EXISTS leased_until timestamptz"
    )
    for column in REQUIRED:
        op.execute(f"ALTER TABLE job_audit ALTER COLUMN {column} DROP NOT NULL")
    for name, table in CHECKS.items():
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
    op.create_table(
        "job_attempts",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("started_at", TIMESTAMP, primary_key=True),
        sa.Column("duration_ms", sa.Float),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("error", sa.Text),
        sa.Column("trace_id", sa.Text),
        if_not_exists=True,
    )
    op.create_index(
        "job_attempts_user",
        "job_attempts",
        ["user_id"],
        postgresql_where=sa.text("user_id IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "paused_jobs",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("actor", sa.Uuid, nullable=False),
        sa.Column("paused_at", TIMESTAMP, nullable=False, server_default=sa.text("now()")),
        if_not_exists=True,
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("cron", sa.Text, nullable=False),
        sa.Column("timezone", sa.Text, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("last_run", TIMESTAMP),
        sa.Column("next_run", TIMESTAMP),
        if_not_exists=True,
    )
    op.create_table(
        "job_rates",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("next_start", TIMESTAMP, nullable=False),
        if_not_exists=True,
    )
    _replace_indexes(INDEXES, REPLACED)


def downgrade() -> None:
    _replace_indexes(REPLACED, INDEXES)
    for table in ("job_rates", "schedules", "paused_jobs", "job_attempts"):
        op.drop_table(table)
    op.execute("DELETE FROM job_audit WHERE action NOT IN ('replay', 'discard')")
    op.execute("UPDATE jobs SET state = 'retrying' WHERE state = 'scheduled'")
    op.execute("UPDATE jobs SET state = 'done' WHERE state IN ('cancelled', 'suppressed')")
    op.create_check_constraint("jobs_state", "jobs", "state IN ('done', 'retrying', 'dead', 'discarded')")
    op.create_check_constraint("job_audit_action", "job_audit", "action IN ('replay', 'discard')")
    for column in REQUIRED:
        op.alter_column("job_audit", column, nullable=False)
    for column in ("task_key", "started_at", "leased_until"):
        op.drop_column("jobs", column)
    for column in ("due_at", "key"):
        op.drop_column("outbox", column)


def _replace_indexes(made: dict[str, tuple[str, str]], dropped: dict[str, tuple[str, str]]) -> None:
    with op.get_context().autocommit_block():
        for name, (columns, condition) in made.items():
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {columns} WHERE {condition}")
        for name in dropped:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
