"""What the ledger remembers of a failure."""

from collections.abc import Iterator
from types import CodeType, TracebackType

import asyncpg

from services.worker.errors import JobError, Permanent
from services.worker.ledger.job_message import storable
from shared.contracts.events import UnreadableEvent

OUR_PACKAGES = ("services.", "shared.")
MAX_MESSAGE = 2000

PERMANENT: tuple[type[Exception], ...] = (Permanent, UnreadableEvent, asyncpg.DataError)
"""Failures that depend on nothing but the event itself."""


def is_permanent(error: Exception) -> bool:
    return isinstance(error, PERMANENT)


def asked_to_wait_s(error: Exception) -> float:
    """How long who failed wants to be left alone, at least."""
    return error.wait_s if isinstance(error, JobError) else 0.0


def describe(error: Exception) -> str:
    return storable(f"{type(error).__name__}: {error}", MAX_MESSAGE)


def error_group(error: Exception) -> str:
    """A short key that failures of one cause share: the exception's type, and the innermost place of ours."""
    if isinstance(error, JobError) and error.group:
        return error.group
    places = [f"{module}:{code.co_qualname}" for module, code in _frames(error) if module.startswith(OUR_PACKAGES)]
    return f"{type(error).__qualname__} in {places[-1]}" if places else type(error).__qualname__


def _frames(error: Exception) -> Iterator[tuple[str, CodeType]]:
    trace: TracebackType | None = error.__traceback__
    while trace:
        yield trace.tb_frame.f_globals.get("__name__", ""), trace.tb_frame.f_code
        trace = trace.tb_next
