"""Revocations of access tokens, and what a refresh token's successor is derived from."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = (
    "ALTER TABLE refresh_tokens ADD COLUMN nonce bytea",
    """
    CREATE TABLE revocations (
        user_id uuid NOT NULL,
        ended_id uuid NOT NULL,
        ended_at timestamptz NOT NULL DEFAULT now(),
        xact bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
        PRIMARY KEY (user_id, ended_id)
    )
    """,
    "CREATE INDEX revocations_xact ON revocations (xact)",
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE revocations")
    op.execute("ALTER TABLE refresh_tokens DROP COLUMN nonce")
