"""Identities at OpenID providers, the sign-ins with them that are under way, and accounts without a password.

The previous version treats a missing hash as a wrong password.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = (
    "ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL",
    "ALTER TABLE sessions ADD COLUMN proved_at timestamptz",
    """
    CREATE TABLE identities (
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        id uuid NOT NULL,
        provider text NOT NULL,
        issuer text NOT NULL,
        subject text NOT NULL,
        email text,
        created_at timestamptz NOT NULL,
        last_used_at timestamptz,
        PRIMARY KEY (user_id, id)
    )
    """,
    # Not unique, because a distributed table has no values that are unique across users: a lock takes care of that.
    "CREATE INDEX identities_issuer_subject ON identities (issuer, subject)",
    """
    CREATE TABLE identity_flows (
        id bytea NOT NULL PRIMARY KEY,
        purpose text NOT NULL,
        provider text NOT NULL,
        user_id uuid,
        session_id uuid,
        issuer text,
        subject text,
        email text,
        expires_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX identity_flows_user ON identity_flows (user_id)",
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE identity_flows, identities")
    op.drop_column("sessions", "proved_at")
    op.execute("UPDATE users SET password_hash = '' WHERE password_hash IS NULL")
    op.execute("ALTER TABLE users ALTER COLUMN password_hash SET NOT NULL")
