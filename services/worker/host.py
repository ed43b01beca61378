"""The running worker, as feature slices see it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from fastapi import FastAPI

from services.worker.ledger.job import Job
from services.worker.ledger.ledger import Ledger
from services.worker.live_hints import Hints
from shared.db.engine import Database
from shared.server.background import Background


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A slice adds resources of its jobs, background tasks, and the state of its routes."""

    app: FastAPI
    db: Database
    ledger: Ledger
    hints: Hints
    background: Background
    resources: dict[type, object] = field(default_factory=dict)
    """What jobs may ask for, by type."""
    on_done: list[Callable[[Job, UUID], None]]
    """Called after each job, with its user."""
