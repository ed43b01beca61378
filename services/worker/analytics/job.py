"""Maintains each user's totals: many events in one transaction, one statement per table."""

from collections.abc import Iterable, Sequence
from typing import Any

from services.worker.analytics import rollups
from services.worker.analytics.rollups import fold
from services.worker.jobs import Batch, job
from shared.contracts.events import Envelope, OrderCancelled, OrderCreated, OrderPaid, OrderShipped, OrdersImported
from shared.db.engine import Connection

ADD_TO_USERS = """
    INSERT INTO user_rollups AS kept (user_id, orders, items, last_order_at)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::timestamptz[])
    ON CONFLICT (user_id) DO UPDATE SET orders = kept.orders + excluded.orders, items = kept.items + excluded.items,
        last_order_at = greatest(kept.last_order_at, excluded.last_order_at)
"""
ADD_TO_STATUSES = """
    INSERT INTO user_status_rollups AS kept (user_id, status, orders)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])
    ON CONFLICT (user_id, status) DO UPDATE SET orders = kept.orders + excluded.orders
"""
_NEW, _ADDED = ", ".join(rollups.parts("new.revenue")), ", ".join(rollups.added("kept"))
ADD_TO_CURRENCIES = f"""
    INSERT INTO user_currency_rollups AS kept (user_id, currency, orders, revenue, revenue_beyond)
    SELECT user_id, currency, orders, {_NEW}
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::numeric[]) AS new (user_id, currency, orders, revenue)
    ON CONFLICT (user_id, currency) DO UPDATE
    SET orders = kept.orders + excluded.orders, (revenue, revenue_beyond) = ROW({_ADDED})
"""  # noqa: S608  constants
ADD_TO_DAYS = f"""
    INSERT INTO daily_rollups AS kept (user_id, day, currency, orders, revenue, revenue_beyond)
    SELECT user_id, day, currency, orders, {_NEW}
    FROM unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[], $5::numeric[])
        AS new (user_id, day, currency, orders, revenue)
    ON CONFLICT (user_id, day, currency) DO UPDATE
    SET orders = kept.orders + excluded.orders, (revenue, revenue_beyond) = ROW({_ADDED})
"""  # noqa: S608  constants


@job(
    name="analytics",
    on=(OrderCreated, OrdersImported, OrderPaid, OrderShipped, OrderCancelled),
    batch=Batch(size=200, wait_ms=20),
    panels=["analytics"],
)
async def add(envelopes: Sequence[Envelope], connection: Connection) -> None:
    """Add the changes of the events. Tables and rows are always updated in the same order, so that two workers
    cannot deadlock."""
    deltas = fold(envelope.event for envelope in envelopes)
    await _add_rows(
        connection,
        ADD_TO_USERS,
        ((user, it.orders, it.items, it.last_order_at) for user, it in sorted(deltas.users.items(), key=_key)),
    )
    await _add_rows(
        connection, ADD_TO_STATUSES, ((*key, orders) for key, orders in sorted(deltas.statuses.items(), key=_key))
    )
    await _add_rows(
        connection,
        ADD_TO_CURRENCIES,
        ((*key, it.orders, it.revenue) for key, it in sorted(deltas.currencies.items(), key=_key)),
    )
    await _add_rows(
        connection, ADD_TO_DAYS, ((*key, it.orders, it.revenue) for key, it in sorted(deltas.days.items(), key=_key))
    )


def _key(item: tuple[Any, Any]) -> Any:
    return item[0]


async def _add_rows(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    if columns := list(zip(*rows, strict=True)):
        await connection.execute(statement, *columns)
