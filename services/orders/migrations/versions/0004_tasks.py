"""Columns of the outbox for tasks: when one is due, and its key."""

from alembic import op

from shared.outbox import outbox

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in outbox.ADD_TASK_COLUMNS:
        op.execute(statement)


def downgrade() -> None:
    for column in ("due_at", "key"):
        op.drop_column("outbox", column)
