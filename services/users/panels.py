"""The panel `user`, a hot read: it uses asyncpg directly, and Postgres builds the JSON."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from shared.db.engine import Database

# A sub-select reads the array, so that no plan depends on its length: after five calls Postgres keeps one plan.
QUERY = """
    SELECT id, json_build_object(
        'id', id,
        'email', email,
        'name', name,
        'avatar_url', avatar_url,
        'created_at', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    )::text
    FROM users WHERE id = ANY((SELECT $1::uuid[])::uuid[])
"""


async def load(db: Database, ids: Sequence[UUID], seconds: float) -> Mapping[UUID, str]:
    """Load the panels of the users that exist. At the timeout, the statement is also cancelled in the server."""
    return {row[0]: row[1] for row in await db.fetch(QUERY, ids, timeout_s=seconds)}
