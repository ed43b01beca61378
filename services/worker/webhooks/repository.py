"""A user's webhooks and their deliveries in the database. Each query starts with the user.

DashboardError
├── NotFound
│   ├── WebhookNotFound      404
│   └── DeliveryNotFound     404
└── Conflict
    ├── TooManyWebhooks      409
    ├── WebhookTurnedOff     409
    ├── CallUnderWay         409
    └── PingsWaiting         409
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.worker.models import JobRow
from services.worker.webhooks.deliveries import JOB
from services.worker.webhooks.models import Webhook, WebhookDelivery
from shared.errors import Conflict, NotFound

LISTED = (
    WebhookDelivery.id,
    WebhookDelivery.event_id,
    WebhookDelivery.event_type,
    WebhookDelivery.state,
    WebhookDelivery.attempts,
    WebhookDelivery.response_status,
    WebhookDelivery.error,
    WebhookDelivery.duration_ms,
    JobRow.next_attempt_at,
    WebhookDelivery.created_at,
    WebhookDelivery.updated_at,
)
Rows = Sequence[sa.Row[*tuple[Any, ...]]]


class WebhookNotFound(NotFound):
    code, title = "webhook_not_found", "No such webhook"


class DeliveryNotFound(NotFound):
    code, title = "delivery_not_found", "No such delivery"


class TooManyWebhooks(Conflict):
    code, title = "too_many_webhooks", "The maximum number of webhooks is reached"


class WebhookTurnedOff(Conflict):
    code, title = "webhook_turned_off", "This webhook is disabled"


class CallUnderWay(Conflict):
    code, title = "call_under_way", "This delivery is in flight"


class PingsWaiting(Conflict):
    code, title = "pings_waiting", "Earlier pings of this webhook are still waiting"


async def get(session: AsyncSession, user_id: UUID, webhook_id: UUID, *, lock: bool = False) -> Webhook:
    """Raises `WebhookNotFound`."""
    query = sa.select(Webhook).where(Webhook.user_id == user_id, Webhook.id == webhook_id)
    found = await session.scalar(query.with_for_update(key_share=True) if lock else query)
    if found is None:
        raise WebhookNotFound
    return found


async def page(session: AsyncSession, user_id: UUID, after: UUID | None, limit: int) -> Sequence[Webhook]:
    """Return webhooks, newest first."""
    query = sa.select(Webhook).where(Webhook.user_id == user_id).order_by(Webhook.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Webhook.id < after)
    return (await session.scalars(query)).all()


async def deliveries_page(
    session: AsyncSession, user_id: UUID, webhook_id: UUID, state: str | None, after: UUID | None, limit: int
) -> Rows:
    """Return deliveries, newest first."""
    query = _deliveries(user_id, webhook_id).order_by(WebhookDelivery.id.desc()).limit(limit)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    if after is not None:
        query = query.where(WebhookDelivery.id < after)
    return (await session.execute(query)).all()


async def delivery(
    session: AsyncSession, user_id: UUID, webhook_id: UUID, delivery_id: UUID
) -> sa.Row[*tuple[Any, ...]] | None:
    return (await session.execute(_deliveries(user_id, webhook_id).where(WebhookDelivery.id == delivery_id))).first()


def _deliveries(user_id: UUID, webhook_id: UUID) -> sa.Select[*tuple[Any, ...]]:
    due = sa.and_(JobRow.job == JOB, JobRow.event_id == WebhookDelivery.id, JobRow.state == "retrying")
    mine = (WebhookDelivery.user_id == user_id, WebhookDelivery.webhook_id == webhook_id)
    return sa.select(*LISTED).outerjoin(JobRow, due).where(*mine)
