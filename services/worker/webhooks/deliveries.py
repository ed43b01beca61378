"""Deliveries in the database: one for each event and webhook, with its row in the ledger that says when it is due.

The ledger's row has the job `webhooks`, the delivery's id, and the host as its lane. Locks are always taken in the same
order: the ledger's row, the delivery, the webhook.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.worker.ledger.job import Transient
from shared.clock import rfc3339
from shared.contracts.events import Envelope
from shared.db.engine import Connection
from shared.ids import new_id

JOB = "webhooks"
KEEP_S = 7 * 24 * 3600.0
"""How long completed deliveries are listed, and can be replayed."""
NOT_TOLD = ("mail",)
"""Internal fields of events."""

ADD = """
    INSERT INTO webhook_deliveries (user_id, id, webhook_id, event_id, event_type, body)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[])
    ON CONFLICT (user_id, webhook_id, event_id) DO NOTHING RETURNING id
"""
QUEUE = """
    INSERT INTO jobs AS kept
        (job, event_id, user_id, event_type, lane, payload, headers, state, attempts, next_attempt_at)
    SELECT $1, id, user_id, event_type, lane, payload, headers::json, 'retrying', 0, now()
    FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bytea[], $7::text[])
        AS new (id, user_id, event_type, lane, payload, headers)
    ON CONFLICT (job, event_id) DO UPDATE SET state = 'retrying', attempts = 0, next_attempt_at = now(),
        lane = excluded.lane, payload = excluded.payload, headers = excluded.headers, updated_at = now()
"""
TAKE = """
    SELECT d.webhook_id, d.event_id, d.body, d.state, d.attempts, d.lease_until > clock_timestamp() AS leased,
        w.url, w.lane, w.enabled, w.secret,
        CASE WHEN w.old_secret_until > clock_timestamp() THEN w.old_secret END AS old_secret
    FROM webhook_deliveries d JOIN webhooks w ON (w.user_id, w.id) = (d.user_id, d.webhook_id)
    WHERE d.user_id = $1 AND d.id = $2 FOR UPDATE OF d
"""
CANCEL = """
    UPDATE webhook_deliveries SET state = 'cancelled', error = 'the webhook is turned off', updated_at = now()
    WHERE user_id = $1 AND id = $2
"""
LEASE = """
    UPDATE webhook_deliveries SET attempts = attempts + 1, updated_at = now(),
        lease_until = clock_timestamp() + $3 * interval '1 second'
    WHERE user_id = $1 AND id = $2 RETURNING lease_until
"""
SETTLE = """
    UPDATE webhook_deliveries SET state = $4, response_status = $5, error = $6, duration_ms = $7, lease_until = NULL,
        updated_at = now()
    WHERE user_id = $1 AND id = $2 AND state = 'pending' AND (lease_until = $3 OR $4 = 'delivered')
    RETURNING true
"""
PURGE = """
    DELETE FROM webhook_deliveries WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM webhook_deliveries WHERE updated_at < now() - $1 * interval '1 second' AND NOT EXISTS (
            SELECT FROM jobs WHERE job = 'webhooks' AND jobs.event_id = webhook_deliveries.id
                AND jobs.state IN ('retrying', 'dead')
        )
        ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ))
"""


class CallInHand(Transient):
    """Another worker is making it."""


@dataclass(frozen=True, slots=True)
class New:
    """A delivery to create; `body` is what will be sent."""

    id: UUID
    user_id: UUID
    webhook_id: UUID
    event_id: UUID
    event_type: str
    lane: str
    body: bytes


@dataclass(frozen=True, slots=True)
class DeliveryClaim:
    """The right to make one call. `lease_until` distinguishes it from later ones; `attempt` counts from 1."""

    user_id: UUID
    id: UUID
    webhook_id: UUID
    event_id: UUID
    url: str
    lane: str
    secrets: tuple[str, ...]
    """Encrypted; the newest first."""
    body: bytes
    attempt: int
    lease_until: datetime


def of_event(envelope: Envelope, webhook_id: UUID, lane: str) -> New:
    event = envelope.event
    return New(new_id(), event.user_id, webhook_id, envelope.id, event.type, lane, body_of(envelope))


def body_of(envelope: Envelope) -> bytes:
    """Return the body as Standard Webhooks suggests: `{"type", "timestamp", "data"}`."""
    event_fields: dict[str, Any] = msgspec.to_builtins(envelope.event)
    data = {name: value for name, value in event_fields.items() if name not in NOT_TOLD}
    return msgspec.json.encode({"type": envelope.event.type, "timestamp": rfc3339(envelope.time), "data": data})


async def add(connection: Connection, new: Sequence[New]) -> None:
    """Create all that do not exist yet, due at once."""
    rows = [(one.user_id, one.id, one.webhook_id, one.event_id, one.event_type, one.body.decode()) for one in new]
    added = {row["id"] for row in await connection.fetch(ADD, *map(list, zip(*rows, strict=True)))}
    if due := [one for one in new if one.id in added]:
        await queue(connection, due)


async def queue(connection: Connection, due: Sequence[New]) -> None:
    """Insert them into the ledger, with a full set of attempts."""
    rows = [(one.id, one.user_id, one.event_type, one.lane, *_message_of(one)) for one in due]
    await connection.execute(QUEUE, JOB, *map(list, zip(*rows, strict=True)))


def _message_of(one: New) -> tuple[bytes, str]:
    """Return the delivery's ledger row: its event under the delivery's own id."""
    body = msgspec.json.decode(one.body)
    headers = {"id": str(one.id), "type": one.event_type, "time": body["timestamp"], "subject": str(one.user_id)}
    return msgspec.json.encode(body["data"]), msgspec.json.encode(headers).decode()


async def claim(connection: Connection, user_id: UUID, delivery_id: UUID, lease_s: float) -> DeliveryClaim | None:
    """Returns None if there is nothing left to call. Raises `CallInHand`."""
    row = await connection.fetchrow(TAKE, user_id, delivery_id)
    if row is None or row["state"] != "pending":
        return None
    if row["leased"]:
        raise CallInHand(str(delivery_id))
    if not row["enabled"]:
        await connection.execute(CANCEL, user_id, delivery_id)
        return None
    lease_until = await connection.fetchval(LEASE, user_id, delivery_id, lease_s)
    secrets = tuple(secret for secret in (row["secret"], row["old_secret"]) if secret)
    return DeliveryClaim(
        user_id,
        delivery_id,
        row["webhook_id"],
        row["event_id"],
        row["url"],
        row["lane"],
        secrets,
        row["body"].encode(),
        row["attempts"] + 1,
        lease_until,
    )


async def settle(
    connection: Connection,
    claim: DeliveryClaim,
    state: str,
    status: int | None,
    error: str | None,
    duration_ms: int | None,
) -> bool:
    """Return whether this call was still the current one; a success is recorded whichever call is current."""
    at = (claim.user_id, claim.id, claim.lease_until)
    return bool(await connection.fetchval(SETTLE, *at, state, status, error, duration_ms))
