"""Indexes for purging what is done, and for finding what a deleted user has left."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("jobs_done", "jobs", ["updated_at"], postgresql_where=sa.text("state = 'done'"))
    op.create_index("jobs_of_user", "jobs", ["user_id"], postgresql_where=sa.text("state <> 'done'"))


def downgrade() -> None:
    op.drop_index("jobs_of_user", "jobs")
    op.drop_index("jobs_done", "jobs")
