"""Which mails each user wants."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notification_settings",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("mail", sa.Boolean, nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("now()")),
    )
    op.create_index(
        "notification_settings_wanted", "notification_settings", ["kind", "user_id"], postgresql_where=sa.text("mail")
    )


def downgrade() -> None:
    op.drop_table("notification_settings")
