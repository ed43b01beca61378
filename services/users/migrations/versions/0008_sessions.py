"""What the list of sessions shows: the device, its address, and when it was last seen."""

from alembic import op

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = {"device": "text", "address": "text", "last_seen_at": "timestamptz"}


def upgrade() -> None:
    for column, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE sessions ADD COLUMN {column} {kind}")


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_column("sessions", column)
