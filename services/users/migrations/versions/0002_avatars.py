"""Pictures of users."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = (
    """
    CREATE TABLE avatars (
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        size smallint NOT NULL,
        digest text NOT NULL,
        content bytea NOT NULL,
        PRIMARY KEY (user_id, size)
    )
    """,
    "ALTER TABLE avatars ALTER content SET STORAGE EXTERNAL",  # a WebP does not get any smaller
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE avatars")
    op.execute("UPDATE users SET avatar_url = NULL")
