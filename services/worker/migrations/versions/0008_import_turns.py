"""When each import was last taken up, so that users take turns."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # May be run again after the first of its two steps.
    op.add_column("imports", sa.Column("taken_at", sa.TIMESTAMP(timezone=True)), if_not_exists=True)
    with op.get_context().autocommit_block():
        op.create_index(
            "imports_turns", "imports", ["user_id", "taken_at"], postgresql_concurrently=True, if_not_exists=True
        )


def downgrade() -> None:
    op.drop_index("imports_turns", "imports")
    op.drop_column("imports", "taken_at")
