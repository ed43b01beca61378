"""What notifications are about, and an index that has all that their panel shows."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("notifications", sa.Column("subject_kind", sa.Text))
    op.add_column("notifications", sa.Column("subject_id", sa.Uuid))
    with op.get_context().autocommit_block():
        op.create_index(
            "notifications_recent",
            "notifications",
            ["user_id", "id"],
            postgresql_include=["kind", "title", "body", "read", "created_at", "subject_kind", "subject_id"],
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        # The new index has its columns, too, so the previous release reads that one.
        op.drop_index("notifications_panel", "notifications", postgresql_concurrently=True, if_exists=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "notifications_panel",
            "notifications",
            ["user_id", "id"],
            postgresql_include=["kind", "title", "read", "created_at"],
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.drop_index("notifications_recent", "notifications", postgresql_concurrently=True, if_exists=True)
    op.drop_column("notifications", "subject_id")
    op.drop_column("notifications", "subject_kind")
