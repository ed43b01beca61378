"""Idempotency keys: a request that is repeated with its key takes effect once.

A key belongs to its user, is stored in the transaction that creates its order, and expires after a day.
"""

import hashlib
from typing import Annotated, NamedTuple
from uuid import UUID

import asyncpg
from fastapi import Header

from services.orders.errors import IdempotencyKeyReused
from services.orders.schemas import NewOrder
from shared.db.engine import Connection

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Repeat a request with the same key and body: the order is placed once, with the same response.",
        examples=["order-2026-01-31-7"],
    ),
]

# Waits for a transaction that holds the same key. Each new key deletes two expired ones, so they never accumulate. An
# expired key of the same name is updated, not deleted: one statement may change a row only once.
CLAIM = """
    swept AS (
        DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM idempotency_keys
            WHERE created_at < now() - interval '24 hours' AND (user_id, key) <> ($1, $19)
            ORDER BY created_at LIMIT 2 FOR UPDATE SKIP LOCKED
        ))
    ), claimed AS (
        INSERT INTO idempotency_keys AS held (user_id, key, fingerprint, order_id, created_at)
        VALUES ($1, $19::text, $20, $2, now())
        ON CONFLICT (user_id, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, order_id = excluded.order_id, created_at = excluded.created_at
        WHERE held.created_at < now() - interval '24 hours'
        RETURNING true
    )
"""
FIND = "SELECT fingerprint, order_id FROM idempotency_keys WHERE user_id = $1 AND key = $2"


class Claim(NamedTuple):
    """A key, and the SHA-256 of its request."""

    key: str
    fingerprint: bytes


def claim_of(key: str, body: NewOrder) -> Claim:
    """Hash a request; bodies that differ only in spacing or in the order of members are equal."""
    return Claim(key, hashlib.sha256(body.model_dump_json().encode()).digest())


async def order_of(connection: Connection, user_id: UUID, claim: Claim) -> UUID | None:
    """Return the order of a used key. Raises `IdempotencyKeyReused` if the key belongs to another request."""
    found: asyncpg.Record | None = await connection.fetchrow(FIND, user_id, claim.key)
    if found and found["fingerprint"] != claim.fingerprint:
        raise IdempotencyKeyReused
    return found["order_id"] if found else None
