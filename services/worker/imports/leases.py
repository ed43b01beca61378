"""Imports under way, in the database. One worker at a time has an import: what it writes, it writes only as long as the
lease is its own.

Users take turns. The next import is one of the user of whom the fewest are carried out now, and of several such users
the one whose last turn was longest ago. A turn ends at the first checkpoint at which another user has a better claim.
"""

from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg

from services.worker.imports.records import Offset
from shared.clock import now
from shared.contracts import events
from shared.db.engine import Database
from shared.outbox import outbox

DUE = "state IN ('queued', 'running') AND lease_until <= now()"
IN_HAND = """
    in_hand AS (
        SELECT user_id, count(*) AS running FROM imports
        WHERE state IN ('queued', 'running') AND lease_until > now() AND lease_id IS NOT NULL GROUP BY user_id
    )
"""
"""How many imports of a user are carried out now. One that waits out a pause has no `lease_id`."""
TAKE = f"""
    WITH {IN_HAND}, claims AS (
        SELECT due.user_id, coalesce(in_hand.running, 0) AS running,
            (SELECT max(taken_at) FROM imports AS own WHERE own.user_id = due.user_id) AS last_turn
        FROM (SELECT DISTINCT user_id FROM imports WHERE {DUE}) AS due LEFT JOIN in_hand USING (user_id)
    )
    UPDATE imports SET state = 'running', lease_id = $1, lease_until = now() + $2 * interval '1 second',
        started_at = coalesce(started_at, now()), taken_at = now()
    WHERE (user_id, id) = (
        SELECT imports.user_id, imports.id FROM imports JOIN claims USING (user_id) WHERE {DUE}
        ORDER BY claims.running, claims.last_turn NULLS FIRST, user_id, id LIMIT 1 FOR UPDATE OF imports SKIP LOCKED
    )
    RETURNING *
"""  # noqa: S608  constants
IS_OVER = f"""
    WITH {IN_HAND}
    SELECT EXISTS (
        SELECT FROM imports LEFT JOIN in_hand USING (user_id)
        WHERE {DUE} AND coalesce(in_hand.running, 0) < (SELECT running FROM in_hand WHERE user_id = $1)
    )
"""  # noqa: S608  constants
"""Whether a user waits of whom fewer imports are carried out than of this one."""
CHECKPOINT = """
    UPDATE imports SET lease_until = now() + $4 * interval '1 second', next_offset = $5, next_line = $6, skipping = $7,
        rows_done = rows_done + $8, rows_repeated = rows_repeated + $9, rows_failed = rows_failed + $10,
        rows_per_s = $11, failures = 0, error = NULL
    WHERE user_id = $1 AND id = $2 AND lease_id = $3
    RETURNING *
"""
KEEP_ERRORS = """
    WITH kept AS (
        INSERT INTO import_errors (user_id, import_id, line, field, reference, message)
        SELECT $1, $2, * FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[])
        ON CONFLICT DO NOTHING RETURNING true
    )
    UPDATE imports SET errors_kept = errors_kept + (SELECT count(*) FROM kept) WHERE user_id = $1 AND id = $2
"""
FINISH = """
    UPDATE imports SET state = $4, error = $5, finished_at = now(), lease_id = NULL,
        rows_total = CASE WHEN $4 = 'completed' THEN rows_done + rows_failed ELSE rows_total END,
        expires_at = now() + $6 * interval '1 second'
    WHERE user_id = $1 AND id = $2 AND lease_id IS NOT DISTINCT FROM $3 AND state IN ('queued', 'running')
    RETURNING *
"""
LET_GO = """
    UPDATE imports SET lease_id = NULL, lease_until = now() + $4 * interval '1 second', failures = failures + $5,
        error = coalesce($6, error)
    WHERE user_id = $1 AND id = $2 AND lease_id = $3
"""


class LeaseLost(Exception):
    """Another worker has the import now, or it is gone."""


@dataclass(frozen=True, slots=True)
class LineError:
    line: int
    field: str
    reference: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """What a chunk of a file has come to; `end` is where the next begins."""

    end: Offset
    done: int
    repeated: int
    failed: int
    errors: list[LineError]


class Lease:
    """One import, for as long as it is this worker's."""

    def __init__(self, db: Database, row: asyncpg.Record, lease_s: float) -> None:
        self.row = row
        """The import, as it is after the last step."""
        self.is_over = False
        """Whether another user has a better claim by now."""
        self._db = db
        self._lease_s = lease_s
        self._key = (row["user_id"], row["id"], row["lease_id"])

    @classmethod
    async def take(cls, db: Database, lease_s: float) -> "Lease | None":
        """An import of the user whose turn it is, the oldest that is due; None when there is none."""
        async with db.connection() as connection:
            row = await connection.fetchrow(TAKE, uuid4(), lease_s)
        return cls(db, row, lease_s) if row else None

    async def record(self, step: Step, rows_per_s: float, most_errors: int) -> None:
        """The checkpoint, in one transaction with the step's counts and errors. Raises `LeaseLost`."""
        end = step.end
        async with self._db.connection() as connection, connection.transaction():
            row = await connection.fetchrow(
                CHECKPOINT,
                *(*self._key, self._lease_s),
                *(end.offset, end.line, end.skipping),
                *(step.done, step.repeated, step.failed, rows_per_s),
            )
            if row is None:
                raise LeaseLost
            if errors := step.errors[: max(0, most_errors - row["errors_kept"])]:
                columns = zip(*((it.line, it.field, it.reference, it.message) for it in errors), strict=True)
                await connection.execute(KEEP_ERRORS, *self._key[:2], *columns)
            is_over = await connection.fetchval(IS_OVER, row["user_id"])
        self.row, self.is_over = row, is_over

    async def finish(self, state: str, error: str | None, keep_s: float) -> None:
        """The end, with its event. Raises `LeaseLost`."""
        async with self._db.connection() as connection, connection.transaction():
            row = await connection.fetchrow(FINISH, *self._key, state, error, keep_s)
            if row is None:
                raise LeaseLost
            await connection.execute(outbox.INSERT, *outbox.row(completed(row)))
        self.row = row

    async def let_go(self, pause_s: float, error: str | None = None) -> None:
        """Any worker may go on with it after the pause; `error` is why this one does not."""
        async with self._db.connection() as connection:
            await connection.execute(LET_GO, *self._key, pause_s, int(error is not None), error)


def completed(row: asyncpg.Record) -> events.ImportCompleted:
    return events.ImportCompleted(
        user_id=row["user_id"],
        import_id=row["id"],
        state=row["state"],
        rows_total=row["rows_total"],
        rows_done=row["rows_done"],
        rows_failed=row["rows_failed"],
        completed_at=row["finished_at"] or now(),
    )


def offset_of(row: asyncpg.Record) -> Offset:
    return Offset(row["next_offset"], row["next_line"], row["skipping"])


def file_key(import_id: UUID) -> str:
    return f"imports/{import_id}.csv"
