"""The personal data of the worker, apart from that of its feature slices."""

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
        "mails",
        "SELECT recipient, state, created_at, updated_at FROM mails WHERE user_id = $1 ORDER BY created_at",
    ),
)
ERASURE = [
    "DELETE FROM notifications WHERE user_id = $1",
]
"""SQL statements that erase the data of a deleted user, apart from recipient and mails."""
