"""The worker's panels: one statement for many users, whose JSON is sent as Postgres writes it."""

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from services.worker.analytics.rollups import utc_day
from services.worker.models import REVENUE
from shared.clock import now
from shared.db.engine import Database

DAYS = 30
NEWEST = 20
TIME = '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\''

# Both statements build JSON with `||`, which costs half of `json_build_object`. Unescaped values (`kind`, `status`,
# `currency`) are from fixed sets of letters, dots and underscores. Parameters are read by sub-selects, so that plans do
# not depend on them: after five calls Postgres keeps one plan. Planning each call for one user would cost three times
# as much as the call.

# Totals can be below zero for a moment, when an order's payment is folded before its creation: those are left out.
ANALYTICS = f"""
WITH today AS MATERIALIZED (SELECT $2::date AS day),
days AS MATERIALIZED (
    SELECT day - back AS day, '{{"day":"' || day - back || '","orders":' AS opening
    FROM today CROSS JOIN generate_series(0, {DAYS - 1}) AS back
)
SELECT asked.user_id, '{{"orders":' || greatest(coalesce(of_user.orders, 0), 0)
    || ',"items":' || greatest(coalesce(of_user.items, 0), 0)
    || ',"revenue":{{' || coalesce(money.revenue, '')
    || '}},"by_status":{{' || coalesce(status.orders, '')
    || '}},"by_currency":{{' || coalesce(money.orders, '')
    || '}},"average_order":{{' || coalesce(money.average, '')
    || '}},"last_order_at":'
    || coalesce('"' || to_char(of_user.last_order_at AT TIME ZONE 'UTC', {TIME}) || '"', 'null')
    || ',"daily":[' || daily.sums || ']}}' AS panel
FROM unnest((SELECT $1::uuid[])) AS asked (user_id)
LEFT JOIN user_rollups AS of_user USING (user_id)
CROSS JOIN LATERAL (
    SELECT string_agg('"' || currency || '":' || {REVENUE}, ',') AS revenue,
        string_agg('"' || currency || '":' || round({REVENUE} / orders), ',') AS average,
        string_agg('"' || currency || '":' || orders, ',') AS orders
    FROM user_currency_rollups WHERE user_id = asked.user_id AND orders > 0
) AS money
CROSS JOIN LATERAL (
    SELECT string_agg('"' || status || '":' || orders, ',') AS orders
    FROM user_status_rollups WHERE user_id = asked.user_id AND orders > 0
) AS status
CROSS JOIN LATERAL (
    SELECT string_agg(days.opening || coalesce(sums.rest, '0,"revenue":{{}}}}'), ',' ORDER BY days.day) AS sums
    FROM days LEFT JOIN (
        SELECT day, sum(greatest(orders, 0)) || ',"revenue":{{' || coalesce(
            string_agg('"' || currency || '":' || {REVENUE}, ',') FILTER (WHERE {REVENUE} > 0), ''
        ) || '}}}}' AS rest
        FROM daily_rollups
        WHERE user_id = asked.user_id AND day > (SELECT day - {DAYS} FROM today) GROUP BY day
    ) AS sums USING (day)
) AS daily
"""  # noqa: S608  constants
# By an index-only scan (index `notifications_recent`).
NOTIFICATIONS = f"""
SELECT asked.user_id, coalesce('[' || recent.panel || ']', '[]') AS panel
FROM unnest((SELECT $1::uuid[])) AS asked (user_id)
CROSS JOIN LATERAL (
    SELECT string_agg(
        '{{"id":"' || id || '","kind":"' || kind || '","title":' || to_json(title) || ',"body":' || to_json(body)
        || ',"read":' || read || ',"created_at":"' || to_char(created_at AT TIME ZONE 'UTC', {TIME}) || '","subject":'
        || coalesce('{{"kind":"' || subject_kind || '","id":"' || subject_id || '"}}', 'null') || '}}', ','
    ) AS panel
    FROM (
        SELECT id, kind, title, body, read, created_at, subject_kind, subject_id FROM notifications
        WHERE user_id = asked.user_id ORDER BY id DESC LIMIT {NEWEST}
    ) AS newest
) AS recent
"""  # noqa: S608  constants


async def analytics(
    db: Database, user_ids: Sequence[UUID], deadline_s: float, today: date | None = None
) -> Mapping[UUID, str]:
    """Every user has this panel: one without orders has zeros."""
    return await _read(db, deadline_s, ANALYTICS, user_ids, today or utc_day(now()))


async def notifications(db: Database, user_ids: Sequence[UUID], deadline_s: float) -> Mapping[UUID, str]:
    return await _read(db, deadline_s, NOTIFICATIONS, user_ids)


async def _read(db: Database, deadline_s: float, statement: str, *arguments: object) -> Mapping[UUID, str]:
    rows = await db.fetch(statement, *arguments, timeout_s=deadline_s)
    return {row["user_id"]: row["panel"] for row in rows}
