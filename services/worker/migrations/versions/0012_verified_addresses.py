"""Whether a recipient's address is verified, when a mail may be sent, and another reason for disabling a webhook.

The check of the reasons is dropped: each new value would need two releases, one to drop the old check and one to add
the wider one.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # May be run again after any of its steps.
    op.execute("ALTER TABLE recipients ADD COLUMN IF NOT EXISTS verified boolean NOT NULL DEFAULT true")
    op.execute("ALTER TABLE mails ADD COLUMN IF NOT EXISTS send_after timestamptz")
    op.execute("ALTER TABLE webhooks DROP CONSTRAINT IF EXISTS webhooks_disabled_reason")
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS mails_recipient"
            " ON mails (lower(recipient), coalesce(send_after, created_at)) WHERE recipient IS NOT NULL"
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS mails_recipient")
    op.execute("UPDATE webhooks SET disabled_reason = 'owner' WHERE disabled_reason = 'revoked'")
    op.create_check_constraint(
        "webhooks_disabled_reason", "webhooks", "disabled_reason IN ('owner', 'failing', 'gone')"
    )
    op.drop_column("mails", "send_after")
    op.drop_column("recipients", "verified")
