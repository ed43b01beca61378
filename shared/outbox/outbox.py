"""The outbox: an event is a row of the business transaction; `shared.outbox.relay` publishes it afterwards."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts import events
from shared.ids import new_id
from shared.observability import telemetry

CHANNEL = "outbox"
"""The notification is only a hint to poll; a trigger sends one for each statement that adds rows."""


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """The table as a service's models declare it; `SCHEMA` is the same as a migration."""
    return sa.Table(
        "outbox",
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("dataschema", sa.Text, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("traceparent", sa.Text),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("available_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("returned", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Index("outbox_available_at", "available_at"),
    )


SCHEMA = (
    """
    CREATE TABLE outbox (
        id uuid NOT NULL PRIMARY KEY,
        user_id uuid NOT NULL,
        type text NOT NULL,
        dataschema text NOT NULL,
        payload jsonb NOT NULL,
        traceparent text,
        created_at timestamptz NOT NULL DEFAULT now(),
        available_at timestamptz NOT NULL DEFAULT now(),
        returned integer NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX outbox_available_at ON outbox (available_at)",
    """
    CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('outbox', ''); RETURN NULL; END $$
    """,
    """
    CREATE TRIGGER outbox_added AFTER INSERT ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox()
    """,
)
"""The statements of the first migration of every service that has an outbox."""

COLUMNS = ("id", "user_id", "type", "dataschema", "payload", "traceparent")
INSERT = f"INSERT INTO outbox ({', '.join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6)"  # noqa: S608  constant names
_INSERT = sa.text(
    "INSERT INTO outbox (id, user_id, type, dataschema, payload, traceparent) "
    "VALUES (:id, :user_id, :type, :dataschema, CAST(:payload AS jsonb), :traceparent)"
).bindparams(sa.bindparam("id", type_=sa.Uuid), sa.bindparam("user_id", type_=sa.Uuid))


def row(event: events.Event) -> tuple[UUID, UUID, str, str, str, str | None]:
    """Return the values of `COLUMNS` for an event, with a new id."""
    payload = events.encode(event).decode()
    return (
        new_id(),
        event.user_id,
        event.type,
        events.schema_of(type(event)),
        payload,
        telemetry.traceparent(),
    )


async def add(session: AsyncSession, event: events.Event) -> UUID:
    """Record an event in the session's transaction: it is published if and only if that commits. Returns its id."""
    values = row(event)
    await session.execute(_INSERT, dict(zip(COLUMNS, values, strict=True)))
    return values[0]
