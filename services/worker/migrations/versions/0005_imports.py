"""Imports of orders, the errors of their rows, and the worker's outbox."""

import sqlalchemy as sa
from alembic import op

from shared.outbox import outbox

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIMESTAMP = sa.TIMESTAMP(timezone=True)
NOW = sa.text("now()")
ZERO = sa.text("0")
NOT_ENDED = sa.text("state IN ('queued', 'running')")


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("filename", sa.Text),
        sa.Column("bytes", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("rows_total", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("rows_done", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("rows_repeated", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("rows_failed", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("errors_kept", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("rows_per_s", sa.Float),
        sa.Column("error", sa.Text),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("next_offset", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("next_line", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("skipping", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("failures", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("lease_id", sa.Uuid),
        sa.Column("lease_until", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("started_at", TIMESTAMP),
        sa.Column("finished_at", TIMESTAMP),
        sa.Column("expires_at", TIMESTAMP),
        sa.CheckConstraint(
            "state IN ('uploading', 'queued', 'running', 'completed', 'failed', 'cancelled')", name="imports_state"
        ),
    )
    op.create_index("imports_due", "imports", ["lease_until"], postgresql_where=NOT_ENDED)
    op.create_index("imports_expired", "imports", ["expires_at"])
    op.create_table(
        "import_errors",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("import_id", sa.Uuid, primary_key=True),
        sa.Column("line", sa.BigInteger, primary_key=True),
        sa.Column("field", sa.Text, primary_key=True),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["user_id", "import_id"], ["imports.user_id", "imports.id"], ondelete="CASCADE"),
    )
    for statement in outbox.SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("outbox")
    op.execute("DROP FUNCTION notify_outbox")
    op.drop_table("import_errors")
    op.drop_table("imports")
