"""The same effect for every framework: an event is added to the worker's rollups once, however often it is delivered.

One statement, which is one transaction, writes the ledger row, and the sums only if that row is new. The simplest code
runs each statement of `SUMS` on its own.
"""

import os
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

DATABASE_URL = os.environ.get("BENCH_DATABASE_URL", "")
RABBITMQ_URL = os.environ.get("BENCH_RABBITMQ_URL", "")
PREFETCH = 100
USERS = [str(uuid.UUID(int=number)) for number in range(1, 201)]
ITEMS, TOTAL = 2, 4998
"""Of the order of every event."""

LEDGER = (
    "INSERT INTO jobs (job, event_id, user_id, event_type, state) VALUES ('peer', {event_id}, {user_id}, "
    "'order.created', 'done') ON CONFLICT DO NOTHING RETURNING true"
)
SUMS = (
    """
    INSERT INTO user_rollups AS kept (user_id, orders, items, last_order_at)
    SELECT {user_id}, 1, {items}, {at} {when}
    ON CONFLICT (user_id) DO UPDATE SET orders = kept.orders + 1, items = kept.items + excluded.items,
        last_order_at = greatest(kept.last_order_at, excluded.last_order_at)
    """,
    """
    INSERT INTO user_status_rollups AS kept (user_id, status, orders) SELECT {user_id}, 'created', 1 {when}
    ON CONFLICT (user_id, status) DO UPDATE SET orders = kept.orders + 1
    """,
    """
    INSERT INTO user_currency_rollups AS kept (user_id, currency, orders, revenue)
    SELECT {user_id}, 'EUR', 1, {total} {when}
    ON CONFLICT (user_id, currency) DO UPDATE SET orders = kept.orders + 1, revenue = kept.revenue + excluded.revenue
    """,
    """
    INSERT INTO daily_rollups AS kept (user_id, day, currency, orders, revenue)
    SELECT {user_id}, ({at} AT TIME ZONE 'UTC')::date, 'EUR', 1, {total} {when}
    ON CONFLICT (user_id, day, currency) DO UPDATE
    SET orders = kept.orders + 1, revenue = kept.revenue + excluded.revenue
    """,
)
_TYPES = {"event_id": "uuid", "user_id": "uuid", "items": "bigint", "total": "bigint", "at": "timestamptz"}
_NUMBERED = {name: f"${place}::{kind}" for place, (name, kind) in enumerate(_TYPES.items(), start=1)}
_NAMED = {name: f"%({name})s::{kind}" for name, kind in _TYPES.items()}


def _as_one(names: dict[str, str]) -> str:
    parts = [f"new AS ({LEDGER.format(**names)})"]
    parts += [f"sum{place} AS ({each.format(**names, when='FROM new')})" for place, each in enumerate(SUMS)]
    return f"WITH {', '.join(parts)} SELECT 1"


ASYNCPG = _as_one(_NUMBERED)
PSYCOPG = _as_one(_NAMED)


def event() -> dict[str, Any]:
    """Return a new event, as it is sent."""
    identity = uuid.uuid4()
    return {
        "event_id": str(identity),
        "user_id": USERS[identity.int % len(USERS)],
        "items": ITEMS,
        "total": TOTAL,
        "at": datetime.now(UTC).isoformat(),
    }


def events(count: int) -> Iterator[dict[str, Any]]:
    return (event() for _ in range(count))


def arguments(given: dict[str, Any]) -> tuple[Any, ...]:
    """Return the arguments for asyncpg, which needs the types of Postgres."""
    return (given["event_id"], given["user_id"], given["items"], given["total"], datetime.fromisoformat(given["at"]))


def asked_to_publish() -> int:
    """Return the number of events on the command line: `publish COUNT`."""
    return int(sys.argv[2])
