"""What a job is: an effect on the database for each event of its queue, and the policy under which it is tried."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.worker.errors import Expired, Unremembered
from shared.contracts.events import Envelope
from shared.db.engine import Connection, Database

CANCEL_S = 2.0
"""How long what has been cancelled may take to end: a database that does not answer can hold it for longer."""


class ExternalEffect(Protocol):
    """What an effect leaves to be done outside the database, once its transaction is committed.

    For `lease_s` it belongs to the process that has it. Unless it has been settled by then, the effect runs again.
    """

    @property
    def lease_s(self) -> float: ...

    async def run(self, db: Database) -> None:
        """Raises why it failed. Holds no connection for longer than a query."""

    async def settle(self, connection: Connection, failure: Exception | None) -> None:
        """In the transaction that records this attempt in the ledger."""


Effect = Callable[[Connection, Envelope], Awaitable[ExternalEffect | None]]
"""Runs in the transaction that also marks the event as done, or as begun when there is an external effect."""
BatchEffect = Callable[[Connection, Sequence[Envelope]], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """The effect on many events at once. A batch is taken when `size` are there, or `wait_s` after the first."""

    effect: BatchEffect
    size: int
    wait_s: float

    async def on_one(self, connection: Connection, envelope: Envelope) -> None:
        await self.effect(connection, [envelope])


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    attempts: int
    """Tries altogether; the last failure makes the job dead."""
    backoff_base_s: float
    backoff_cap_s: float
    prefetch: int
    """Messages the broker may hand out before they are acknowledged."""
    concurrency: int
    """Effects under way at once in this process; each holds a database connection, unless it is external."""
    deadline_s: float | None = None
    """The age of an event after which the job is not worth doing any more; None is never."""
    ends_with_user: bool = False
    """Nothing is done for a deleted user, and nothing kept of what was not done."""

    def backoff_s(self, attempt: int, jitter: Callable[[], float] = random.random) -> float:
        """The wait after a failed attempt (from 1): exponential with full jitter, so that failures spread out."""
        exponent = min(attempt - 1, 60)
        return float(min(self.backoff_cap_s, self.backoff_base_s * 2.0**exponent) * jitter())


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    name: str
    policy: Policy
    effect: Effect
    panels: tuple[str, ...] = ()
    """The panels that look different once the job is done."""
    batching: Batching | None = None


def age_s(envelope: Envelope, now: datetime) -> float:
    """Never below zero: clocks of two databases may differ. The time of an event is its row's in the outbox."""
    return max((now - envelope.time).total_seconds(), 0.0)


def refuse_expired(policy: Policy, envelope: Envelope, now: datetime) -> None:
    """Raises `Expired`."""
    age = age_s(envelope, now)
    if policy.deadline_s is not None and age > policy.deadline_s:
        raise Expired(f"{_said(age)} old, worth doing for {_said(policy.deadline_s)}")


def refuse_unremembered(keep_done_s: float, envelope: Envelope, now: datetime) -> None:
    """Raises `Unremembered`. For an event that the ledger has no row of."""
    age = age_s(envelope, now)
    if age > keep_done_s:
        raise Unremembered(f"{_said(age)} old, and the ledger remembers {_said(keep_done_s)}")


def _said(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
