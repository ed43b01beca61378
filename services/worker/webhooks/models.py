"""The tables of webhooks."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from services.worker.models import NOW, Base
from shared.db.personal_data import Cascade, Execute, Part, PersonalData


class Webhook(PersonalData, Base):
    """A URL that a user has registered for events. `lane` is its host and port.

    `secret` is encrypted, and so is `old_secret`, which also signs until `old_secret_until`. `failing_since` is the
    first failure after the last success.
    """

    __tablename__ = "webhooks"
    # Without the secrets, which would allow anyone with the file to sign calls.
    __export__ = Part(
        "webhooks",
        """
        id, url, description, events, enabled, disabled_reason, disabled_at, failing_since, last_success_at,
        created_at, updated_at
        """,
    )
    # Every transaction locks deliveries before webhooks.
    __erasure__ = (
        Execute("DELETE FROM webhook_deliveries WHERE user_id = $1"),
        Execute("DELETE FROM webhooks WHERE user_id = $1"),
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str]
    lane: Mapped[str]
    description: Mapped[str | None]
    events: Mapped[list[str]] = mapped_column(sa.ARRAY(sa.Text))
    enabled: Mapped[bool] = mapped_column(server_default=sa.true())
    disabled_reason: Mapped[str | None]
    disabled_at: Mapped[datetime | None]
    secret: Mapped[str]
    old_secret: Mapped[str | None]
    old_secret_until: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class WebhookDelivery(PersonalData, Base):
    """One event for one webhook. `body` is what is sent, the same with each attempt; `lease_until` is set while one
    is in flight. The ledger's row of job `webhooks` and this id contains the time of the next attempt."""

    __tablename__ = "webhook_deliveries"
    __export__ = Part(
        "webhook_deliveries",
        "id, webhook_id, event_id, event_type, state, attempts, response_status, error, created_at, updated_at",
    )
    __erasure__ = Cascade()

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    webhook_id: Mapped[UUID]
    event_id: Mapped[UUID]
    event_type: Mapped[str]
    body: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default=sa.text("0"))
    lease_until: Mapped[datetime | None]
    response_status: Mapped[int | None]
    error: Mapped[str | None]
    duration_ms: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed', 'cancelled')", name="webhook_deliveries_state"),
        sa.ForeignKeyConstraint(["user_id", "webhook_id"], ["webhooks.user_id", "webhooks.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("user_id", "webhook_id", "event_id"),
        sa.Index("webhook_deliveries_page", "user_id", "webhook_id", "id"),
        sa.Index("webhook_deliveries_age", "updated_at"),
    )
