"""One call of one webhook: the external effect of a delivery, and its consequences.

| the receiver | the delivery |
|---|---|
| answers 2xx | delivered |
| answers 410 | failed, and its webhook is disabled |
| answers 429 or 503 with `Retry-After` | tried again, not before that |
| answers anything else, redirects too, or not at all, or has no address that may be called | tried again |
| the last attempt did not succeed | failed: its owner may replay it |

A failed delivery concerns its owner, not the operator: in the ledger it is done. A webhook that has failed for too long
is disabled, with a notification to its owner.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from uuid import UUID

from services.worker import metrics
from services.worker.ledger import erasure
from services.worker.ledger.job import Effect, Job, Policy, Transient
from services.worker.webhooks import deliveries, signing
from services.worker.webhooks.address import BadTarget, Target
from services.worker.webhooks.client import CallFailed, Client
from services.worker.webhooks.deliveries import JOB, DeliveryClaim
from services.worker.webhooks.settings import WebhookSettings, WebhookTuning
from services.worker.webhooks.signing import SecretBox
from shared.clock import now
from shared.contracts.events import Envelope
from shared.db.engine import Connection, Database
from shared.ids import new_id
from shared.observability import tracing
from shared.observability.logs import get_logger
from shared.observability.tracing import Kind

log = get_logger(__name__)

NOTIFICATION_KIND = "webhook.disabled"
REASON_FAILING, REASON_GONE = "failing", "gone"
NOTIFICATION_TITLE = "Webhook disabled"
EXPLANATIONS = {
    REASON_FAILING: (
        "All calls to {host} have failed for {days:g} days. Enable the webhook again once its receiver works."
    ),
    REASON_GONE: "{host} has answered that it is permanently gone (410).",
}

RECORD_SUCCESS = """
    UPDATE webhooks SET failing_since = NULL, last_success_at = now() WHERE user_id = $1 AND id = $2 AND (
        failing_since IS NOT NULL OR last_success_at IS NULL OR last_success_at < now() - interval '1 minute'
    )
"""
RECORD_FAILURE = """
    UPDATE webhooks SET failing_since = now() WHERE user_id = $1 AND id = $2 AND enabled AND failing_since IS NULL
"""
DISABLE = """
    UPDATE webhooks SET enabled = false, disabled_reason = $3, disabled_at = now(), updated_at = now()
    WHERE user_id = $1 AND id = $2 AND enabled
        AND ($3 = 'gone' OR failing_since <= now() - $4 * interval '1 day')
    RETURNING lane
"""
NOTIFY = """
    INSERT INTO notifications (user_id, id, kind, title, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)
"""
CONCURRENCY = 3
"""Concurrent transactions that claim events or deliveries."""
SPARE_ATTEMPTS = 5
"""Ledger attempts beyond those of the delivery: for failures on our side before a call was made."""
AGENT = "Dashboard-Webhooks/1"
INTERRUPTED = "interrupted on our side; it will be repeated"
RETRY_AFTER_MAX_S = 3600.0
"""The maximum `Retry-After` of a 429 or 503 that is honoured."""
DISABLE_AFTER_DAYS = 5.0
"""A webhook that has failed for this long without a success is disabled."""
GONE = 410
TOO_MANY = 429
PATIENT = (TOO_MANY, 503)


async def record_success(connection: Connection, user_id: UUID, webhook_id: UUID) -> None:
    """Written once a minute, not with every call."""
    await connection.execute(RECORD_SUCCESS, user_id, webhook_id)


async def record_failure(
    connection: Connection, user_id: UUID, webhook_id: UUID, *, gone: bool, after_days: float
) -> bool:
    """Returns whether this disabled it."""
    await connection.execute(RECORD_FAILURE, user_id, webhook_id)
    reason = REASON_GONE if gone else REASON_FAILING
    lane = await connection.fetchval(DISABLE, user_id, webhook_id, reason, after_days)
    if lane is None:
        return False
    body = EXPLANATIONS[reason].format(host=lane, days=after_days)
    await connection.execute(NOTIFY, user_id, new_id(), NOTIFICATION_KIND, NOTIFICATION_TITLE, body, now())
    metrics.WEBHOOKS_TURNED_OFF.labels(reason).inc()
    log.info("webhook disabled", webhook_id=str(webhook_id), reason=reason)
    return True


class ReceiverFailed(Transient):
    """The receiver did not accept it; retried."""

    group = "webhook receiver"


@dataclass(frozen=True, slots=True)
class Ended:
    """The outcome of a call; `status` is None if there was no response."""

    duration_ms: int
    status: int | None = None
    error: str | None = None
    wait_s: float = 0.0

    @property
    def host_is_well(self) -> bool:
        """A host that rejects one of its many users is healthy."""
        return self.status is not None and self.status < 500 and self.status != TOO_MANY


@dataclass(frozen=True, slots=True)
class Listener:
    """Callbacks: after a call, its host and whether that is healthy; and users whose webhook was disabled."""

    called: Callable[[str, bool], None]
    turned_off: Callable[[UUID], None]


@dataclass(slots=True)
class Call:
    """One attempt at one delivery."""

    client: Client
    secret_box: SecretBox
    settings: WebhookSettings
    tuning: WebhookTuning
    listener: Listener
    claim: DeliveryClaim
    ended: Ended | None = None

    @property
    def lease_s(self) -> float:
        return self.tuning.webhook_lease_s

    @property
    def is_last(self) -> bool:
        gone = self.ended is not None and self.ended.status == GONE
        return gone or self.claim.attempt >= self.tuning.webhook_attempts

    async def run(self, _: Database) -> None:
        began = time.monotonic()
        self.ended = await self._call(began)
        metrics.WEBHOOK_CALL_DURATION.observe(time.monotonic() - began)
        self.listener.called(self.claim.lane, self.ended.host_is_well)
        if self.ended.error is not None and not self.is_last:
            failure = ReceiverFailed(self.ended.error)
            failure.wait_s = self.ended.wait_s
            raise failure

    async def settle(self, connection: Connection, _: Exception | None) -> None:
        """Takes the lock of a user's deletion first, so that no row is restored after it."""
        claim, ended = self.claim, self.ended
        if await erasure.erased(connection, [claim.user_id]):
            return
        if ended is None:
            metrics.WEBHOOK_CALLS.labels("interrupted").inc()
            await deliveries.settle(connection, claim, "pending", None, INTERRUPTED, None)
            return
        state = "delivered" if ended.error is None else "failed" if self.is_last else "pending"
        metrics.WEBHOOK_CALLS.labels("retrying" if state == "pending" else state).inc()
        if await deliveries.settle(connection, claim, state, ended.status, ended.error, ended.duration_ms):
            await self._judge(connection, ended)

    async def _judge(self, connection: Connection, ended: Ended) -> None:
        webhook = (self.claim.user_id, self.claim.webhook_id)
        if ended.error is None:
            await record_success(connection, *webhook)
            return
        if await record_failure(connection, *webhook, gone=ended.status == GONE, after_days=DISABLE_AFTER_DAYS):
            self.listener.turned_off(self.claim.user_id)

    async def _call(self, began: float) -> Ended:
        claim = self.claim
        keys = [self.secret_box.decrypt(secret) for secret in claim.secrets]
        headers = {"content-type": "application/json", "user-agent": AGENT}
        headers |= signing.headers(keys, str(claim.event_id), int(time.time()), claim.body)
        try:
            target = Target.parse(
                claim.url,
                https_only=self.settings.webhook_https_only,
                local_names=bool(self.settings.webhook_allowed_networks),
            )
            with tracing.span("POST", Kind.CLIENT, {"http.request.method": "POST"}) as span:
                answer = await self.client.post(target, headers, claim.body)
                span.set({"http.response.status_code": answer.status})
        except BadTarget as refused:
            return Ended(_ms_since(began), error=f"the URL {refused}")
        except CallFailed as failed:
            return Ended(_ms_since(began), error=str(failed))
        wait_s = 0.0
        if answer.status in PATIENT:
            wait_s = min(retry_after_s(answer.retry_after, now()), RETRY_AFTER_MAX_S)
        return Ended(_ms_since(began), answer.status, complaint(answer.status), wait_s)


def complaint(status: int) -> str | None:
    """Return what is wrong with a response; None if nothing is."""
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed"
    return f"answered {status}"


def retry_after_s(value: str | None, at: datetime) -> float:
    """Parse the header, seconds or a date; 0 for none, or an invalid one."""
    if value is None:
        return 0.0
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max((parsedate_to_datetime(value) - at).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def call_with(
    client: Client, secret_box: SecretBox, settings: WebhookSettings, tuning: WebhookTuning, listener: Listener
) -> Effect:
    async def take_up(connection: Connection, envelope: Envelope) -> Call | None:
        """The event has the delivery's id."""
        user_id = envelope.event.user_id
        claim = await deliveries.claim(connection, user_id, envelope.id, tuning.webhook_lease_s)
        return Call(client, secret_box, settings, tuning, listener, claim) if claim else None

    return take_up


def job(
    client: Client, secret_box: SecretBox, settings: WebhookSettings, tuning: WebhookTuning, listener: Listener
) -> Job:
    """The second half of the job `webhooks`: makes the calls that its first half has queued, by event."""
    policy = Policy(
        attempts=tuning.webhook_attempts + SPARE_ATTEMPTS,
        backoff_base_s=tuning.webhook_backoff_base_s,
        backoff_cap_s=tuning.webhook_backoff_cap_s,
        prefetch=0,
        concurrency=CONCURRENCY,
        ends_with_user=True,
    )
    return Job(name=JOB, policy=policy, effect=call_with(client, secret_box, settings, tuning, listener))


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
