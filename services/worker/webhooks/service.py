"""The operations on webhooks. A URL is checked when a user registers it, and again with each call."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from services.worker.ledger import erasure
from services.worker.webhooks import deliveries, models, repository, signing
from services.worker.webhooks.address import AddressPolicy, AddressRefused, BadTarget, Target, Unresolved
from services.worker.webhooks.client import CheckedNetwork
from services.worker.webhooks.deliveries import JOB, New
from services.worker.webhooks.repository import (
    CallUnderWay,
    DeliveryNotFound,
    PingsWaiting,
    TooManyWebhooks,
    WebhookNotFound,
    WebhookTurnedOff,
)
from services.worker.webhooks.schemas import Delivery, NewWebhook, Webhook, WebhookChange, WebhookWithSecret
from services.worker.webhooks.signing import SecretBox
from shared.clock import now
from shared.contracts.events import Envelope, WebhookPing
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.http import pagination
from shared.ids import new_id

MAX_PER_USER = 10
"""The maximum number of webhooks per user."""
OLD_SECRET_S = 24 * 3600.0
"""How long a replaced secret still signs, next to the new one."""
MAX_PINGS = 5
"""The maximum number of waiting pings."""

# For operations that count a user's webhooks, or change many of their rows in no particular order.
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('webhooks of ' || $1, 0))"
COUNT = "SELECT count(*) FROM webhooks WHERE user_id = $1"
ADD = """
    INSERT INTO webhooks (user_id, id, url, lane, description, events, secret) VALUES ($1, $2, $3, $4, $5, $6, $7)
    RETURNING *
"""
MOVE = """
    UPDATE jobs SET lane = $3 WHERE job = $4 AND state = 'retrying' AND event_id IN (
        SELECT id FROM webhook_deliveries WHERE user_id = $1 AND webhook_id = $2 AND state = 'pending'
    )
"""
END_JOBS = """
    UPDATE jobs SET state = 'done', next_attempt_at = NULL, last_error = NULL, error_group = NULL, payload = NULL,
        headers = NULL, updated_at = now()
    WHERE job = $3 AND state <> 'done' AND event_id IN (
        SELECT id FROM webhook_deliveries WHERE user_id = $1 AND webhook_id = $2
    )
"""
DELETE_DELIVERIES = "DELETE FROM webhook_deliveries WHERE user_id = $1 AND webhook_id = $2"
DELETE = "DELETE FROM webhooks WHERE user_id = $1 AND id = $2 RETURNING true"
FIND = "SELECT lane, enabled FROM webhooks WHERE user_id = $1 AND id = $2 FOR KEY SHARE"
COUNT_PINGS = """
    SELECT count(*) FROM webhook_deliveries
    WHERE user_id = $1 AND webhook_id = $2 AND state = 'pending' AND event_type = $3
"""
LOCK_JOB = "SELECT FROM jobs WHERE job = $1 AND event_id = $2 FOR UPDATE"
FIND_DELIVERY = """
    SELECT event_id, event_type, body, lease_until > clock_timestamp() AS under_way
    FROM webhook_deliveries WHERE user_id = $1 AND webhook_id = $2 AND id = $3 FOR UPDATE
"""
BEGIN_AGAIN = """
    UPDATE webhook_deliveries SET state = 'pending', attempts = 0, lease_until = NULL, updated_at = now()
    WHERE user_id = $1 AND id = $2
"""


@dataclass(frozen=True, slots=True)
class UrlCheck:
    network: CheckedNetwork
    policy: AddressPolicy
    https_only: bool
    timeout_s: float

    def parse(self, url: str) -> Target:
        """Raises `BadTarget`."""
        return Target.parse(url, https_only=self.https_only, local_names=bool(self.policy.allowed))

    async def check(self, url: str) -> Target:
        """Raises `BadTarget`. A name that cannot be resolved now is accepted: it may be resolvable by the time of a
        call."""
        target = self.parse(url)
        try:
            async with asyncio.timeout(self.timeout_s):
                await self.network.addresses(target.host, target.port)
        except AddressRefused as refused:
            raise BadTarget(f"cannot be called: {refused}") from None
        except (Unresolved, TimeoutError):
            self._check_port(target)
        return target

    def _check_port(self, target: Target) -> None:
        if self.policy.allowed:
            return
        try:
            self.policy.check_port(target.port)
        except AddressRefused as refused:
            raise BadTarget(f"cannot be called: {refused}") from None


@dataclass(frozen=True, slots=True)
class Webhooks:
    """`wake` signals that a delivery is due."""

    db: Database
    url_check: UrlCheck
    secret_box: SecretBox
    wake: Callable[[], None]

    async def create(self, user_id: UUID, body: NewWebhook) -> WebhookWithSecret:
        """Raises `TooManyWebhooks`, and `InvalidInput` for a URL that is not allowed."""
        target = await self._target(body.url)
        secret = signing.new_secret()
        async with self.db.connection() as connection, connection.transaction():
            if await erasure.erased(connection, [user_id]):
                raise WebhookNotFound("this account is deleted")
            await connection.execute(ONE_AT_A_TIME, str(user_id))
            if await connection.fetchval(COUNT, user_id) >= MAX_PER_USER:
                raise TooManyWebhooks(f"at most {MAX_PER_USER}")
            values = (body.url, target.lane, body.description, body.events, self.secret_box.encrypt(secret))
            row = await connection.fetchrow(ADD, user_id, new_id(), *values)
        return WebhookWithSecret.model_validate(dict(row or {}) | {"secret": secret})

    async def read(self, user_id: UUID, webhook_id: UUID) -> Webhook:
        async with self.db.begin() as session:
            return Webhook.model_validate(await repository.get(session, user_id, webhook_id))

    async def read_page(self, user_id: UUID, cursor: str | None, limit: int) -> pagination.Page[Webhook]:
        after = pagination.decode_cursor(cursor)
        async with self.db.begin() as session:
            rows = await repository.page(session, user_id, after, limit + 1)
        items, next_cursor = pagination.page_of(rows, limit, lambda row: row.id)
        return pagination.Page(items=[Webhook.model_validate(row) for row in items], next_cursor=next_cursor)

    async def change(self, user_id: UUID, webhook_id: UUID, body: WebhookChange) -> Webhook:
        """Raises `WebhookNotFound`, `InvalidInput`."""
        await self.read(user_id, webhook_id)  # otherwise anyone could have URLs checked without one
        target = None if body.url is None else await self._target(body.url)
        async with self.db.begin() as session:
            row = await repository.get(session, user_id, webhook_id, lock=True)
            _change(row, body, target)
            changed = Webhook.model_validate(row)
        if target is not None:
            async with self.db.connection() as connection, connection.transaction():
                await connection.execute(ONE_AT_A_TIME, str(user_id))
                await connection.execute(MOVE, user_id, webhook_id, target.lane, JOB)
        return changed

    async def replace_secret(self, user_id: UUID, webhook_id: UUID) -> WebhookWithSecret:
        """The old secret also signs for a while. Raises `WebhookNotFound`."""
        secret = signing.new_secret()
        async with self.db.begin() as session:
            row = await repository.get(session, user_id, webhook_id, lock=True)
            row.old_secret, row.secret = row.secret, self.secret_box.encrypt(secret)
            row.updated_at = now()
            row.old_secret_until = row.updated_at + timedelta(seconds=OLD_SECRET_S)
            shown = Webhook.model_validate(row).model_dump()
        return WebhookWithSecret(**shown, secret=secret)

    async def delete(self, user_id: UUID, webhook_id: UUID) -> None:
        """Delete it with its deliveries; waiting ones are not made. Raises `WebhookNotFound`."""
        async with self.db.connection() as connection, connection.transaction():
            await connection.execute(ONE_AT_A_TIME, str(user_id))
            await connection.execute(END_JOBS, user_id, webhook_id, JOB)
            await connection.execute(DELETE_DELIVERIES, user_id, webhook_id)
            if not await connection.fetchval(DELETE, user_id, webhook_id):
                raise WebhookNotFound

    async def ping(self, user_id: UUID, webhook_id: UUID) -> Delivery:
        """Raises `WebhookNotFound`, `WebhookTurnedOff`, `PingsWaiting`."""
        event = WebhookPing(user_id=user_id, webhook_id=webhook_id)
        async with self.db.connection() as connection, connection.transaction():
            webhook = await connection.fetchrow(FIND, user_id, webhook_id)
            lane = _host_key_of(webhook)
            if await connection.fetchval(COUNT_PINGS, user_id, webhook_id, event.type) >= MAX_PINGS:
                raise PingsWaiting
            new = deliveries.of_event(Envelope(id=new_id(), time=now(), event=event), webhook_id, lane)
            await deliveries.add(connection, [new])
        self.wake()
        return await self.read_delivery(user_id, webhook_id, new.id)

    async def replay(self, user_id: UUID, webhook_id: UUID, delivery_id: UUID) -> Delivery:
        """Make the delivery due at once, with a full set of attempts; the same message under the same id.

        Raises `WebhookNotFound`, `DeliveryNotFound`, `WebhookTurnedOff`, `CallUnderWay`.
        """
        async with self.db.connection() as connection, connection.transaction():
            await connection.execute(LOCK_JOB, JOB, delivery_id)
            row = await connection.fetchrow(FIND_DELIVERY, user_id, webhook_id, delivery_id)
            webhook = await connection.fetchrow(FIND, user_id, webhook_id)
            lane = _host_key_of(webhook)
            if row is None:
                raise DeliveryNotFound
            if row["under_way"]:
                raise CallUnderWay
            ids = (delivery_id, user_id, webhook_id, row["event_id"])
            await connection.execute(BEGIN_AGAIN, user_id, delivery_id)
            await deliveries.queue(connection, [New(*ids, row["event_type"], lane, row["body"].encode())])
        self.wake()
        return await self.read_delivery(user_id, webhook_id, delivery_id)

    async def read_delivery(self, user_id: UUID, webhook_id: UUID, delivery_id: UUID) -> Delivery:
        """Raises `DeliveryNotFound`."""
        async with self.db.begin() as session:
            row = await repository.delivery(session, user_id, webhook_id, delivery_id)
        if row is None:
            raise DeliveryNotFound
        return Delivery.model_validate(row)

    async def deliveries_page(
        self, user_id: UUID, webhook_id: UUID, state: str | None, cursor: str | None, limit: int
    ) -> pagination.Page[Delivery]:
        """Raises `WebhookNotFound`."""
        after = pagination.decode_cursor(cursor)
        async with self.db.begin() as session:
            await repository.get(session, user_id, webhook_id)
            rows = await repository.deliveries_page(session, user_id, webhook_id, state, after, limit + 1)
        items = [Delivery.model_validate(row) for row in rows]
        items, next_cursor = pagination.page_of(items, limit, lambda item: item.id)
        return pagination.Page(items=items, next_cursor=next_cursor)

    async def _target(self, url: str) -> Target:
        try:
            return await self.url_check.check(url)
        except BadTarget as refused:
            raise InvalidInput.of("url", str(refused)) from None


def _change(row: models.Webhook, body: WebhookChange, target: Target | None) -> None:
    if body.url is not None and target is not None:
        row.url, row.lane, row.failing_since = body.url, target.lane, None
    if body.events is not None:
        row.events = list(body.events)
    if "description" in body.model_fields_set:
        row.description = body.description
    if body.enabled is not None and body.enabled is not row.enabled:
        row.enabled = body.enabled
        row.disabled_reason = None if body.enabled else "owner"
        row.disabled_at = None if body.enabled else now()
        row.failing_since = None
    row.updated_at = now()


def _host_key_of(webhook: asyncpg.Record | None) -> str:
    """Requires an enabled webhook. Raises `WebhookNotFound`, `WebhookTurnedOff`."""
    if webhook is None:
        raise WebhookNotFound
    if not webhook["enabled"]:
        raise WebhookTurnedOff("enable it first")
    return str(webhook["lane"])
