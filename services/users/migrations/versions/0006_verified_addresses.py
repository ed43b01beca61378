"""Verified addresses, the tokens of links in mails, requested resets of passwords, and suspended accounts.

Existing accounts count as verified, and so do those that the previous version still registers: it sends no link.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = (
    """
    ALTER TABLE users
        ADD COLUMN email_verified boolean NOT NULL DEFAULT true,
        ADD COLUMN pending_email text,
        ADD COLUMN expires_at timestamptz,
        ADD COLUMN suspended_at timestamptz
    """,
    """
    CREATE TABLE mail_tokens (
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        token_hash bytea NOT NULL,
        purpose text NOT NULL,
        email text NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, token_hash)
    )
    """,
    """
    CREATE TABLE mail_requests (
        address_hash bytea NOT NULL,
        purpose text NOT NULL,
        window_began_at timestamptz NOT NULL,
        requests integer NOT NULL,
        paused_until timestamptz NOT NULL,
        PRIMARY KEY (address_hash, purpose)
    )
    """,
    """
    CREATE TABLE reset_requests (
        id uuid NOT NULL PRIMARY KEY,
        email text NOT NULL,
        address text,
        request_id text
    )
    """,
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE reset_requests, mail_requests, mail_tokens")
    for column in ("email_verified", "pending_email", "expires_at", "suspended_at"):
        op.drop_column("users", column)
