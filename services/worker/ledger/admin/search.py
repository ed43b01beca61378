"""The list of jobs: filters, and keyset pages that are read from indexes.

The newest events come first; in a search by time, those that arrived last. Rows that are done are by far the most: a
list without them reads partial indexes, and a list with them the index of one user, of one job, or of each job in turn.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from shared.contracts.events import KINDS
from shared.db.engine import Connection

Key = tuple[UUID, str]
"""The position of a job in the list: the event's id, then the job's name."""

VISIBLE = """
    CASE WHEN state = 'retrying' AND leased_until > now() THEN 'running'
        WHEN state = 'scheduled' AND next_attempt_at <= now() THEN 'waiting' ELSE state END
"""
"""The state as it is shown. Attempts within a transaction are found by their locks, see `find_locked`."""
COLUMNS = f"""
    job, event_id, user_id, event_type, {VISIBLE} AS state, attempts, next_attempt_at, task_key AS key,
    last_error AS error, last_error, error_group, created_at, updated_at
"""
OPEN, CLOSED = "state IN ('dead', 'retrying', 'scheduled')", "state IN ('cancelled', 'discarded', 'suppressed')"
"""The conditions of two indexes."""
STATES = {
    "scheduled": "state = 'scheduled' AND next_attempt_at > now()",
    "waiting": "state = 'scheduled' AND next_attempt_at <= now()",
    "running": "state = 'retrying' AND leased_until > now()",
    "retrying": "state = 'retrying' AND coalesce(leased_until <= now(), true)",
    "dead": "state = 'dead'",
    "done": "state = 'done'",
    "cancelled": "state = 'cancelled'",
    "discarded": "state = 'discarded'",
    "suppressed": "state = 'suppressed'",
}
IN_CLOSED = ("cancelled", "discarded", "suppressed")
EACH_JOB = """
    WITH RECURSIVE names AS (
        (SELECT job FROM jobs ORDER BY job LIMIT 1)
        UNION ALL
        SELECT (SELECT job FROM jobs WHERE jobs.job > names.job ORDER BY job LIMIT 1) FROM names
        WHERE names.job IS NOT NULL
    )
"""
ARRIVED = "SELECT created_at FROM jobs WHERE event_id = $1 AND job = $2"
FIND_UNLOCKED = """
    SELECT job, event_id FROM jobs WHERE (job, event_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
    FOR KEY SHARE SKIP LOCKED
"""
ID_PREFIX = re.compile(r"[0-9a-f]{8}-?[0-9a-f-]{0,27}", re.IGNORECASE)
MAX_ID = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    state: str | None = None
    job: str | None = None
    error_group: str | None = None
    user_id: UUID | None = None
    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None

    @property
    def is_search(self) -> bool:
        """Return whether jobs of every state are meant unless one is given."""
        return any(value is not None for value in (self.user_id, self.event_type, self.since, self.until, self.text))

    @property
    def is_by_time(self) -> bool:
        """Return whether those that arrived last come first."""
        return self.since is not None or self.until is not None


class Query:
    """Collects conditions and their arguments."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.arguments: list[object] = []

    def add(self, condition: str, *values: object) -> None:
        """In a condition, `?` stands for the next value."""
        for value in values:
            condition = condition.replace("?", self.take(value), 1)
        self.conditions.append(condition)

    def take(self, value: object) -> str:
        """Return the placeholder of one more argument."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    @property
    def where(self) -> str:
        return " AND ".join(f"({condition})" for condition in self.conditions) or "true"


async def page(connection: Connection, asked: Filter, after: Key | None, limit: int) -> list[asyncpg.Record]:
    """Return the newest events first, one more than `limit`. A search by time ends if the job of its
    cursor has been deleted."""
    user_id = asked.user_id
    event_id = _uuid(asked.text)
    if event_id is not None:
        found = await _page(connection, asked, "event_id = ?", [event_id], user_id, after, limit)
        if found or user_id is not None:
            return found
        return await _page(connection, asked, "true", [], event_id, after, limit)
    return await _page(connection, asked, *_text_condition(asked.text), user_id, after, limit)


async def _page(
    connection: Connection,
    asked: Filter,
    condition: str,
    values: Sequence[object],
    user_id: UUID | None,
    after: Key | None,
    limit: int,
) -> list[asyncpg.Record]:
    query = Query()
    query.add(condition, *values)
    _add_filters(query, asked, user_id)
    if after is not None and asked.is_by_time:
        arrived = await connection.fetchval(ARRIVED, *after)
        if arrived is None:
            return []
        later = "created_at < ? OR created_at = ? AND (event_id < ? OR event_id = ? AND job > ?)"
        query.add(later, arrived, arrived, after[0], *after)
        query.add("created_at <= ?", arrived)
    elif after is not None:
        query.add("event_id < ? OR (event_id = ? AND job > ?)", after[0], *after)
        query.add("event_id <= ?", after[0])
    if asked.state is not None:
        query.add(STATES[asked.state])
    many = f"ORDER BY {'created_at DESC, ' if asked.is_by_time else ''}event_id DESC, job LIMIT {limit + 1}"
    statement = _statement(query, many, _sources(asked, user_id, query))
    return await connection.fetch(statement, *query.arguments)


def _add_filters(query: Query, asked: Filter, user_id: UUID | None) -> None:
    for one, value in (
        ("job = ?", asked.job),
        ("error_group = ?", asked.error_group),
        ("user_id = ?", user_id),
        ("event_type = ?", asked.event_type),
        ("created_at >= ?", asked.since),
        ("created_at < ?", asked.until),
    ):
        if value is not None:
            query.add(one, value)


def matching(asked: Filter) -> Query:
    """Return the condition of all jobs that `page` lists for these filters, whatever their state."""
    query = Query()
    event_id = _uuid(asked.text)
    if event_id is not None:
        query.add("event_id = ? OR user_id = ?", event_id, event_id)
    else:
        condition, values = _text_condition(asked.text)
        query.add(condition, *values)
    _add_filters(query, asked, asked.user_id)
    return query


def _sources(asked: Filter, user_id: UUID | None, query: Query) -> list[str]:
    """Return the conditions of the indexes that have the rows, or none if each job must be searched."""
    if asked.state is None:
        if user_id is None and _is_words(asked.text):
            if asked.is_by_time and _types(asked.text):
                return []
            # Only failures have an error, and none of them is done.
            return [OPEN, CLOSED, *(f"event_type = {query.take(kind)}" for kind in _types(asked.text))]
        if not asked.is_search:
            return [OPEN]
    elif asked.state != "done":
        return [CLOSED if asked.state in IN_CLOSED else OPEN]
    is_of_type = asked.event_type is not None and not asked.is_by_time
    return ["true"] if user_id is not None or asked.job is not None or is_of_type else []


def _statement(query: Query, many: str, sources: Sequence[str]) -> str:
    if not sources:
        one_job = f"SELECT {COLUMNS} FROM jobs WHERE jobs.job = names.job AND {query.where} {many}"  # noqa: S608
        return f"{EACH_JOB} SELECT found.* FROM names CROSS JOIN LATERAL ({one_job}) AS found {many}"  # noqa: S608
    parts = [f"(SELECT {COLUMNS} FROM jobs WHERE {source} AND {query.where} {many})" for source in sources]  # noqa: S608
    return f"SELECT * FROM ({' UNION '.join(parts)}) AS found {many}"  # noqa: S608


def _text_condition(text: str | None) -> tuple[str, list[object]]:
    if text is None:
        return "true", []
    if ID_PREFIX.fullmatch(text):
        digits = text.replace("-", "").lower()[:MAX_ID]
        return "event_id BETWEEN ? AND ?", [UUID(digits.ljust(MAX_ID, "0")), UUID(digits.ljust(MAX_ID, "f"))]
    escaped = re.sub(r"([%_\\])", r"\\\1", text)
    return "event_type = ANY(?) OR last_error ILIKE ?", [_types(text), f"%{escaped}%"]


def _is_words(text: str | None) -> bool:
    """Return whether a text is searched in types and errors, and not in ids."""
    return text is not None and not ID_PREFIX.fullmatch(text)


def _types(text: str | None) -> list[str]:
    """Return the types of events and tasks that contain a text."""
    return [kind for kind in KINDS if text and text.lower() in kind]


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None


async def find_locked(connection: Connection, keys: Sequence[tuple[str, UUID]]) -> set[tuple[str, UUID]]:
    """Return the jobs whose attempt is in flight within a transaction, which has locked their rows."""
    if not keys:
        return set()
    rows = await connection.fetch(FIND_UNLOCKED, [job for job, _ in keys], [event_id for _, event_id in keys])
    return set(keys) - {(row["job"], row["event_id"]) for row in rows}
