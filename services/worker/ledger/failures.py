"""Failures as the ledger stores them: of a job, and of a message that RabbitMQ gave up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any

import asyncpg

from services.worker.ledger.job import Job, JobError, Permanent, Suppressed, storable
from shared.contracts.events import UnreadableEvent

OUR_PACKAGES = ("services.", "shared.")
MAX_MESSAGE = 2000

PERMANENT: tuple[type[Exception], ...] = (Permanent, UnreadableEvent, asyncpg.DataError)
"""Failures that depend only on the event itself."""
UNKNOWN = "unknown"
REASONS = ("delivery_limit", "rejected", "expired", "maxlen")
QUEUE_PREFIX = "worker."


def is_permanent(error: Exception) -> bool:
    return isinstance(error, PERMANENT)


def asked_to_wait_s(error: Exception) -> float:
    """Return the minimum pause that the failed dependency has requested."""
    return error.wait_s if isinstance(error, JobError) else 0.0


def describe(error: Exception) -> str:
    if isinstance(error, Suppressed):
        return storable(str(error), MAX_MESSAGE)
    return storable(f"{type(error).__name__}: {error}", MAX_MESSAGE)


def error_group(error: Exception) -> str:
    """Return a short key for failures of one cause: the exception's type, and the innermost location in our code."""
    if isinstance(error, JobError) and error.group:
        return error.group
    places = [f"{module}:{code.co_qualname}" for module, code in _frames(error) if module.startswith(OUR_PACKAGES)]
    return f"{type(error).__qualname__} in {places[-1]}" if places else type(error).__qualname__


def _frames(error: Exception) -> Iterator[tuple[str, CodeType]]:
    trace: TracebackType | None = error.__traceback__
    while trace:
        yield trace.tb_frame.f_globals.get("__name__", ""), trace.tb_frame.f_code
        trace = trace.tb_next


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`job` is the one in whose queue the message died, or `unknown`; unknown reasons are mapped to that, too."""

    job: str
    reason: str
    ends_with_user: bool

    @classmethod
    def read(cls, headers: Mapping[str, Any], jobs: Mapping[str, Job]) -> "DeadLetter":
        """Read from `x-death`, newest first, or from the headers that keep the first death."""
        deaths = headers.get("x-death")
        newest = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
        queue = newest.get("queue", headers.get("x-first-death-queue"))
        reason = newest.get("reason", headers.get("x-first-death-reason"))
        job = jobs.get(str(queue).removeprefix(QUEUE_PREFIX))
        return cls(
            job.name if job else UNKNOWN,
            str(reason) if reason in REASONS else UNKNOWN,
            job.policy.ends_with_user if job else True,
        )

    @property
    def error_group(self) -> str:
        return f"broker: {self.reason}"

    @property
    def description(self) -> str:
        return f"RabbitMQ gave the message up: {self.reason.replace('_', ' ')}"
