"""The running workers, as rows: each process writes its own every few seconds.

A process that stops deletes its row. That of a killed one stays for ten minutes, and shows when it was last seen.
"""

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from shared.db.engine import Database
from shared.ids import new_id
from shared.observability.logs import get_logger

log = get_logger(__name__)

EVERY_S = 5.0
LOST_S = 20.0
"""A worker that has not been seen for this long is lost. Longer than a busy database takes for a heartbeat."""
KEEP_S = 600.0
LEAVE_TIMEOUT_S = 3.0

# The start stays that of the first heartbeat.
BEAT = """
    INSERT INTO workers (id, host, pid, version, in_progress, consumers, consumers_expected)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO UPDATE SET seen_at = now(), in_progress = excluded.in_progress,
        consumers = excluded.consumers, consumers_expected = excluded.consumers_expected
"""
EXPIRE = "DELETE FROM workers WHERE seen_at < now() - $1 * interval '1 second'"
LEAVE = "DELETE FROM workers WHERE id = $1"
READ = """
    SELECT id, host, pid, version, started_at, seen_at, in_progress, consumers, consumers_expected,
        seen_at > now() - $1 * interval '1 second' AS alive
    FROM workers WHERE seen_at > now() - $2 * interval '1 second' ORDER BY host, pid, started_at
"""


@dataclass(frozen=True)
class Work:
    """What a process does: attempts in progress by job, the queues that it consumes, and how many it should."""

    in_progress: Mapping[str, int]
    consumers: Sequence[str]
    consumers_expected: int


class Heartbeats:
    """The row of this process. `work` is called for each heartbeat."""

    def __init__(self, db: Database, work: Callable[[], Work]) -> None:
        self._db = db
        self._work = work
        self.id = new_id()
        self._process = (socket.gethostname(), os.getpid(), version("dashboard"))

    async def beat(self) -> None:
        """Write the row, and delete those of processes that were killed long ago."""
        work = self._work()
        doing = (json.dumps(dict(work.in_progress)), list(work.consumers), work.consumers_expected)
        async with self._db.connection() as connection:
            await connection.execute(BEAT, self.id, *self._process, *doing)
            await connection.execute(EXPIRE, KEEP_S)

    async def leave(self) -> None:
        """Delete the row. If that fails, the process is shown as lost, and then expires."""
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S), self._db.connection() as connection:
                await connection.execute(LEAVE, self.id)
        except Exception as error:
            log.debug("the row of this worker cannot be deleted", error=repr(error))


async def read(db: Database) -> list[dict[str, Any]]:
    """Return a row for each worker, by host and process; `alive` is false for one that is lost."""
    async with db.connection() as connection:
        rows = await connection.fetch(READ, LOST_S, KEEP_S)
    return [{**row, "in_progress": json.loads(row["in_progress"])} for row in rows]
