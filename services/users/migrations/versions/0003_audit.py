"""The audit: who did what to whom. Rows are added; only their end is taken away."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = (
    """
    CREATE TABLE audit (
        id uuid NOT NULL PRIMARY KEY,
        action text NOT NULL,
        actor_id uuid,
        actor_role text,
        subject_id uuid,
        detail text,
        address text,
        request_id text,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX audit_actor ON audit (actor_id, id)",
    "CREATE INDEX audit_subject ON audit (subject_id, id)",
    """
    CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF coalesce(current_setting('audit.ending', true), '') <> 'on' THEN
            RAISE EXCEPTION 'rows of the audit are neither changed nor deleted';
        END IF;
        RETURN CASE TG_OP WHEN 'UPDATE' THEN NEW ELSE OLD END;
    END $$
    """,
    "CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION keep_audit()",
    "CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION keep_audit()",
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE audit")
    op.execute("DROP FUNCTION keep_audit()")
