"""How far an import is, as its user is told: over HTTP, and live while it runs."""

import time
from uuid import UUID

import asyncpg
import msgspec

from services.worker.live_hints import Hints

KEY = "import"
"""The routing key of the live messages."""
PAUSE_S = 0.5
"""Between two messages about one import."""


class ImportProgress(msgspec.Struct, frozen=True):
    id: UUID
    state: str
    rows_total: int
    rows_done: int
    rows_failed: int
    rows_per_s: float | None
    eta_s: int | None


class ImportHint(msgspec.Struct, frozen=True, rename={"progress": "import"}):
    """It changes no panel."""

    user_id: UUID
    panels: list[str]
    progress: ImportProgress


def eta_s(state: str, total: int, done: int, failed: int, rows_per_s: float | None) -> int | None:
    """The seconds that are left; None when nobody can tell."""
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
    """Tells of one import while it runs: at once, and then not more often than every `PAUSE_S`."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._told_at = -PAUSE_S

    async def tell(self, row: asyncpg.Record) -> None:
        """Of an import that has ended, in any case."""
        if row["state"] == "running" and time.monotonic() - self._told_at < PAUSE_S:
            return
        self._told_at = time.monotonic()
        await self._hints.send(KEY, ImportHint(row["user_id"], [], progress_of(row)))
