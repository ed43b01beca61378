"""An attempt at a job for one message: its log lines, its span and its metrics."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from services.worker import metrics
from services.worker.ledger import spans
from services.worker.ledger.job import JobMessage

OutcomeT = TypeVar("OutcomeT", bound=str)


async def observed(job: str, message: JobMessage, attempt: Callable[[], Awaitable[OutcomeT]]) -> OutcomeT:
    """Make the attempt, and record it."""
    began = time.perf_counter()
    with (
        structlog.contextvars.bound_contextvars(job=job, event_id=str(message.event_id)),
        spans.of(job, message) as span,
    ):
        outcome = await attempt()
        span.set({"dashboard.job.outcome": outcome})
        metrics.count_attempt(job, outcome, time.perf_counter() - began)
    return outcome
