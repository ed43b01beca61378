"""The health of a webhook: since when it fails; it is disabled after too long, with a notification to its owner."""

from uuid import UUID

from services.worker import metrics
from shared.clock import now
from shared.db.engine import Connection
from shared.ids import new_id
from shared.observability.logs import get_logger

log = get_logger(__name__)

KIND = "webhook.disabled"
FAILING, GONE = "failing", "gone"
TITLE = "Webhook disabled"
WHY = {
    FAILING: "All calls to {host} have failed for {days:g} days. Enable the webhook again once its receiver works.",
    GONE: "{host} has answered that it is permanently gone (410).",
}

WELL = """
    UPDATE webhooks SET failing_since = NULL, last_success_at = now() WHERE user_id = $1 AND id = $2 AND (
        failing_since IS NOT NULL OR last_success_at IS NULL OR last_success_at < now() - interval '1 minute'
    )
"""
FAILED = """
    UPDATE webhooks SET failing_since = now() WHERE user_id = $1 AND id = $2 AND enabled AND failing_since IS NULL
"""
TURN_OFF = """
    UPDATE webhooks SET enabled = false, disabled_reason = $3, disabled_at = now(), updated_at = now()
    WHERE user_id = $1 AND id = $2 AND enabled
        AND ($3 = 'gone' OR failing_since <= now() - $4 * interval '1 day')
    RETURNING lane
"""
NOTIFY = """
    INSERT INTO notifications (user_id, id, kind, title, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)
"""


async def well(connection: Connection, user_id: UUID, webhook_id: UUID) -> None:
    """Written once a minute, not with every call."""
    await connection.execute(WELL, user_id, webhook_id)


async def failed(connection: Connection, user_id: UUID, webhook_id: UUID, *, gone: bool, after_days: float) -> bool:
    """Returns whether this disabled it."""
    await connection.execute(FAILED, user_id, webhook_id)
    reason = GONE if gone else FAILING
    lane = await connection.fetchval(TURN_OFF, user_id, webhook_id, reason, after_days)
    if lane is None:
        return False
    body = WHY[reason].format(host=lane, days=after_days)
    await connection.execute(NOTIFY, user_id, new_id(), KIND, TITLE, body, now())
    metrics.WEBHOOKS_TURNED_OFF.labels(reason).inc()
    log.info("webhook disabled", webhook_id=str(webhook_id), reason=reason)
    return True
