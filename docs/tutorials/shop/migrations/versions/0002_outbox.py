"""The outbox of tasks."""

from alembic import op

from shared.outbox import outbox

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in outbox.MIGRATION:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("outbox")
    op.execute("DROP FUNCTION notify_outbox")
