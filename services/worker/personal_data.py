"""The personal data of the worker. Excludes webhook secrets, which would allow anyone with the file to sign calls."""

from services.worker.analytics.rollups import REVENUE
from shared.downloads.personal_data import Part

PARTS = (
    Part(
        "notifications",
        "SELECT id, kind, title, body, read, created_at FROM notifications WHERE user_id = $1 ORDER BY id",
    ),
    Part(
        "analytics",
        f"""
        SELECT day, currency, orders, greatest({REVENUE}, 0) AS revenue
        FROM daily_rollups WHERE user_id = $1 ORDER BY daily_rollups.day, currency
        """,  # noqa: S608  a constant
    ),
    Part(
        "imports",
        """
        SELECT id, state, filename, bytes, rows_total, rows_done, rows_repeated, rows_failed, error,
            created_at, started_at, finished_at
        FROM imports WHERE user_id = $1 ORDER BY id
        """,
    ),
    Part(
        "import_errors",
        """
        SELECT import_id, line, field, reference, message
        FROM import_errors WHERE user_id = $1 ORDER BY import_id, line, field
        """,
    ),
    Part(
        "reports",
        "SELECT id, kind, first_day, last_day, created_at FROM reports WHERE user_id = $1 ORDER BY id",
    ),
    Part(
        "webhooks",
        """
        SELECT id, url, description, events, enabled, disabled_reason, disabled_at, failing_since, last_success_at,
            created_at, updated_at
        FROM webhooks WHERE user_id = $1 ORDER BY id
        """,
    ),
    Part(
        "webhook_deliveries",
        """
        SELECT id, webhook_id, event_id, event_type, state, attempts, response_status, error, created_at, updated_at
        FROM webhook_deliveries WHERE user_id = $1 ORDER BY id
        """,
    ),
    Part(
        "mails",
        "SELECT recipient, state, created_at, updated_at FROM mails WHERE user_id = $1 ORDER BY created_at",
    ),
)
