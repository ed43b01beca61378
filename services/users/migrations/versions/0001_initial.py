"""Users, their sessions, and the outbox."""

from alembic import op

from shared.outbox import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = (
    """
    CREATE TABLE users (
        id uuid NOT NULL PRIMARY KEY,
        email text NOT NULL,
        name text NOT NULL,
        password_hash text NOT NULL,
        role text NOT NULL CONSTRAINT users_role_check CHECK (role IN ('user', 'support', 'admin')),
        avatar_url text,
        revision bigint NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX users_email_key ON users (lower(email))",
    """
    CREATE TABLE sessions (
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        id uuid NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, id)
    )
    """,
    """
    CREATE TABLE refresh_tokens (
        user_id uuid NOT NULL,
        session_id uuid NOT NULL,
        token_hash bytea NOT NULL,
        created_at timestamptz NOT NULL,
        used_at timestamptz,
        PRIMARY KEY (user_id, session_id, token_hash),
        FOREIGN KEY (user_id, session_id) REFERENCES sessions (user_id, id) ON DELETE CASCADE
    )
    """,
)


def upgrade() -> None:
    for statement in (*SCHEMA, *outbox.SCHEMA):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE refresh_tokens, sessions, users, outbox")
    op.execute("DROP FUNCTION notify_outbox()")
