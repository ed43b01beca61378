"""Orders, their items, idempotency keys and the outbox."""

from alembic import op

from shared.outbox import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE orders (
        user_id uuid NOT NULL,
        id uuid NOT NULL,
        status text NOT NULL,
        currency text NOT NULL,
        total bigint NOT NULL,
        item_count integer NOT NULL,
        mail boolean NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, id)
    )
    """,
    "CREATE INDEX orders_id ON orders (id)",
    """
    CREATE TABLE order_items (
        user_id uuid NOT NULL,
        order_id uuid NOT NULL,
        position integer NOT NULL,
        sku text NOT NULL,
        name text NOT NULL,
        quantity integer NOT NULL,
        unit_price bigint NOT NULL,
        PRIMARY KEY (user_id, order_id, position),
        FOREIGN KEY (user_id, order_id) REFERENCES orders (user_id, id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE idempotency_keys (
        user_id uuid NOT NULL,
        key text NOT NULL,
        fingerprint bytea NOT NULL,
        order_id uuid NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, key)
    )
    """,
    "CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)",
    *outbox.SCHEMA,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE outbox, idempotency_keys, order_items, orders")
    op.execute("DROP FUNCTION notify_outbox")
