"""API keys of users, by their SHA-256."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = (
    """
    CREATE TABLE api_keys (
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        id uuid NOT NULL,
        key_hash bytea NOT NULL,
        prefix text NOT NULL,
        name text NOT NULL,
        scopes text[] NOT NULL,
        expires_at timestamptz,
        created_at timestamptz NOT NULL,
        last_used_at timestamptz,
        PRIMARY KEY (user_id, id)
    )
    """,
    # Not unique, because a distributed table has no values that are unique across users.
    "CREATE INDEX api_keys_hash ON api_keys (key_hash)",
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE api_keys")
