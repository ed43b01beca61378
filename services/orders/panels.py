"""The panel `orders`: the most recent orders of each of several users."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from shared.db.engine import Database

RECENT = 20

# One index-only scan reads at most 20 index entries per user, however many orders they have (index `orders_panel`).
# Postgres builds the JSON with `||`: `json_agg` costs it twice as much, and encoding rows in this process costs both
# together more. Nothing needs escaping: `status` and `currency` are from fixed sets of letters. A sub-select reads the
# array, so that no plan depends on its length: after five calls Postgres keeps one plan. Planning each call for one
# user would cost more than the call.
LOAD = f"""
    SELECT asked.user_id, coalesce('[' || recent.panel || ']', '[]') AS panel
    FROM unnest((SELECT $1::uuid[])) AS asked (user_id)
    CROSS JOIN LATERAL (
        SELECT string_agg(
            '{{"id":"' || id || '","status":"' || status || '","total":' || total || ',"currency":"' || currency
            || '","item_count":' || item_count || ',"created_at":"'
            || to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"}}', ','
        ) AS panel
        FROM (
            SELECT id, status, total, currency, item_count, created_at FROM orders
            WHERE user_id = asked.user_id ORDER BY id DESC LIMIT {RECENT}
        ) AS newest
    ) AS recent
"""  # noqa: S608  a constant number


async def load_recent(db: Database, user_ids: Sequence[UUID], timeout_s: float) -> Mapping[UUID, str]:
    """Load each user's panel as JSON, `[]` for one without orders. Raises `TimeoutError` if it takes too long."""
    return {row["user_id"]: row["panel"] for row in await db.fetch(LOAD, user_ids, timeout_s=timeout_s)}
