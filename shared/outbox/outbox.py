"""The outbox: an event is a row of the business transaction; `shared.outbox.relay` publishes it afterwards.

`shared.outbox.tasks` adds tasks in the same way.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.contracts import events
from shared.ids import new_id
from shared.observability import telemetry

CHANNEL = "outbox"
"""The notification is only a hint to poll; a trigger sends one for each statement that adds rows."""


class _Base(DeclarativeBase):
    pass


class OutboxRow(_Base):
    """An event or a task that is not published yet. `due_at` and `key` are those of tasks."""

    __tablename__ = "outbox"
    __table_args__ = (sa.Index("outbox_available_at", "available_at"),)

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(sa.Uuid)
    type: Mapped[str] = mapped_column(sa.Text)
    dataschema: Mapped[str] = mapped_column(sa.Text)
    payload: Mapped[str] = mapped_column(JSONB)
    traceparent: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"))
    available_at: Mapped[datetime] = mapped_column(sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"))
    returned: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    due_at: Mapped[datetime | None] = mapped_column(sa.TIMESTAMP(timezone=True))
    key: Mapped[str | None] = mapped_column(sa.Text)


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """Declare the table in a service's metadata, with which its migrations are compared."""
    return OutboxRow.metadata.tables["outbox"].to_metadata(metadata)


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
ADD_TASK_COLUMNS = (
    "ALTER TABLE outbox ADD COLUMN IF NOT EXISTS due_at timestamptz, ADD COLUMN IF NOT EXISTS key text",
)
MIGRATION = (*SCHEMA, *ADD_TASK_COLUMNS)
"""The statements that create an outbox. The services created theirs in two migrations."""

COLUMNS = ("id", "user_id", "type", "dataschema", "payload", "traceparent")
INSERT = f"INSERT INTO outbox ({', '.join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6)"  # noqa: S608  constant names
INSERT_TASK = f"INSERT INTO outbox ({', '.join(COLUMNS)}, due_at, key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"  # noqa: S608  constant names
_INSERT = sa.text(
    "INSERT INTO outbox (id, user_id, type, dataschema, payload, traceparent) "
    "VALUES (:id, :user_id, :type, :dataschema, CAST(:payload AS jsonb), :traceparent)"
).bindparams(sa.bindparam("id", type_=sa.Uuid), sa.bindparam("user_id", type_=sa.Uuid))


class Row(NamedTuple):
    """The values of `COLUMNS`; `payload` is JSON."""

    id: UUID
    user_id: UUID
    type: str
    dataschema: str
    payload: str
    traceparent: str | None


def row(event: events.Event) -> Row:
    """Return the values of `COLUMNS` for an event, with a new id."""
    return Row(
        new_id(),
        event.user_id,
        event.type,
        events.schema_of(type(event)),
        events.encode(event).decode(),
        telemetry.traceparent(),
    )


async def add(session: AsyncSession, event: events.Event) -> UUID:
    """Record an event in the session's transaction: it is published if and only if that commits. Returns its id."""
    values = row(event)
    await session.execute(_INSERT, values._asdict())
    return values.id
