"""The progress of an import for its user: over HTTP, and live while it runs."""

import time
from uuid import UUID

import asyncpg
import msgspec

from services.worker.live_hints import Hints

KEY = "import"
"""The routing key of the live messages."""
PAUSE_S = 0.5
"""The interval between two messages about one import."""


class ImportProgress(msgspec.Struct, frozen=True):
    id: UUID
    state: str
    rows_total: int
    rows_done: int
    rows_failed: int
    rows_per_s: float | None
    eta_s: int | None


class ImportHint(msgspec.Struct, frozen=True, rename={"progress": "import"}):
    """The message changes no panel."""

    user_id: UUID
    panels: list[str]
    progress: ImportProgress


def eta_s(state: str, total: int, done: int, failed: int, rows_per_s: float | None) -> int | None:
    """Return the remaining seconds; None if unknown."""
    if state != "running" or not rows_per_s:
        return None
    return max(0, round((total - done - failed) / rows_per_s))


def progress_of(row: asyncpg.Record) -> ImportProgress:
    total, done, failed, rate = row["rows_total"], row["rows_done"], row["rows_failed"], row["rows_per_s"]
    return ImportProgress(
        id=row["id"],
        state=row["state"],
        rows_total=total,
        rows_done=done,
        rows_failed=failed,
        rows_per_s=None if rate is None else round(rate, 1),
        eta_s=eta_s(row["state"], total, done, failed, rate),
    )


class ProgressPublisher:
    """Publish the progress of an import while it runs: at once, and then at most every `PAUSE_S`."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._told_at = -PAUSE_S

    async def tell(self, row: asyncpg.Record) -> None:
        """Publish the end of an import, in any case."""
        if row["state"] == "running" and time.monotonic() - self._told_at < PAUSE_S:
            return
        self._told_at = time.monotonic()
        await self._hints.send(KEY, ImportHint(row["user_id"], [], progress_of(row)))
