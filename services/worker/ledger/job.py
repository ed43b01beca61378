"""Definition of a job: an effect on the database for each event of its queue, and the policy for its attempts.

A job fails with a `JobError`; any other exception counts as transient. It ends without a failure by a `Decision`.

JobError
├── Transient   may succeed later: tried again with backoff
└── Permanent   never will: dead at once
    ├── Expired       no longer worth doing
    └── Unremembered  perhaps done before, longer ago than the ledger remembers

Decision
├── Suppressed  the effect is not wanted: never run
└── Postponed   run later, without counting an attempt
"""

import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Protocol
from uuid import NAMESPACE_OID, UUID, uuid5

from shared.clock import rfc3339
from shared.contracts import events
from shared.contracts.events import Envelope
from shared.contracts.tasks import NOBODY
from shared.contracts.topology import JobQueue
from shared.db.engine import Connection, Database

CANCEL_S = 2.0
"""How long cancelled work may take to end: a database that does not respond can delay it."""
Missed = Literal["skip", "once"]
BatchEffect = Callable[[Connection, Sequence[Envelope]], Awaitable[object]]
MAX_TYPE = 100


class JobError(Exception):
    """The root; jobs raise subclasses named for what went wrong."""

    group: ClassVar[str | None] = None
    """The error group, if it is not derived from the type and the place."""
    wait_s: float = 0.0
    """The minimum time until the next attempt, if the other side has requested one."""


class Transient(JobError):
    pass


class Permanent(JobError):
    pass


class Expired(Permanent):
    """The event is older than its job's deadline."""

    group = "expired"


class Unremembered(Permanent):
    """The event is older than the ledger's retention and has no row: it may or may not have been processed."""

    group = "unremembered"


class Decision(Exception):
    """A job has decided not to take effect now. What it has written into the database stays."""


class Suppressed(Decision):
    """The effect is not wanted. The job ends as `suppressed`, and shows the reason."""


class Postponed(Decision):
    """The job runs again at that time. This is no attempt, and the event does not age until then."""

    def __init__(self, until: datetime) -> None:
        super().__init__(rfc3339(until))
        self.until = until


class ExternalEffect(Protocol):
    """The part of an effect outside the database, to be done after its transaction is committed.

    It belongs to its process for `lease_s`. Unless it has been settled by then, the effect runs again.
    """

    @property
    def lease_s(self) -> float: ...

    async def run(self, db: Database) -> None:
        """Raises the reason for a failure, or `Suppressed`. Holds no connection for longer than a query."""

    async def settle(self, connection: Connection, failure: Exception | None) -> None:
        """Runs in the transaction that records this attempt in the ledger."""


Effect = Callable[[Connection, Envelope], Awaitable[ExternalEffect | None]]
"""Runs in the transaction that also marks the event as done, or as started if there is an external effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """The effect on many events at once. A batch starts when it has `size` events, or `wait_s` after the first."""

    effect: BatchEffect
    size: int
    wait_s: float

    async def on_one(self, connection: Connection, envelope: Envelope) -> None:
        await self.effect(connection, [envelope])


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    attempts: int
    """The total number of attempts; the last failure makes the job dead."""
    backoff_base_s: float
    backoff_cap_s: float
    prefetch: int
    """The number of unacknowledged messages that the broker may deliver."""
    concurrency: int
    """Effects in flight at once in this process; each holds a database connection, unless it is external."""
    deadline_s: float | None = None
    """The age of an event after which the job is not run any more; None means no limit."""
    ends_with_user: bool = False
    """Skip the job for a deleted user, and delete its unfinished rows."""

    def backoff_s(self, attempt: int, jitter: Callable[[], float] = random.random) -> float:
        """Return the pause after a failed attempt (from 1): exponential with full jitter, so that failures spread
        out."""
        exponent = min(attempt - 1, 60)
        return float(min(self.backoff_cap_s, self.backoff_base_s * 2.0**exponent) * jitter())


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a job runs by itself. `cron` has five fields, and is read in `timezone` (IANA)."""

    cron: str
    timezone: str
    missed: Missed
    """What follows if no worker was running at one or more of its times: nothing, or one run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    name: str
    policy: Policy
    effect: Effect
    types: tuple[str, ...] = ()
    """The types of the events and tasks in its queue. Without any it has no queue."""
    schedule: Schedule | None = None
    rate_per_s: float | None = None
    """How many may start per second in all workers together; None means no limit."""
    panels: tuple[str, ...] = ()
    """The panels that change when the job is done."""
    batching: Batching | None = None

    @property
    def queue(self) -> JobQueue | None:
        return JobQueue(self.name, self.types) if self.types else None


def age_s(envelope: Envelope, now: datetime) -> float:
    """Never below zero: the clocks of two databases may differ. The time of an event is that of its outbox row; a
    delayed task ages from the time at which it is due."""
    since = envelope.time if envelope.due_at is None else max(envelope.time, envelope.due_at)
    return max((now - since).total_seconds(), 0.0)


def refuse_expired(policy: Policy, envelope: Envelope, now: datetime) -> None:
    """Raises `Expired`."""
    age = age_s(envelope, now)
    if policy.deadline_s is not None and age > policy.deadline_s:
        raise Expired(f"{_said(age)} old, worth doing for {_said(policy.deadline_s)}")


def refuse_unremembered(keep_done_s: float, envelope: Envelope, now: datetime) -> None:
    """Raises `Unremembered`. For an event without a row in the ledger."""
    age = age_s(envelope, now)
    if age > keep_done_s:
        raise Unremembered(f"{_said(age)} old, and the ledger remembers {_said(keep_done_s)}")


def _said(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@dataclass(frozen=True, slots=True)
class JobMessage:
    """`content` is the event, or why there is none."""

    event_id: UUID
    headers: Mapping[str, Any]
    body: bytes
    content: events.Envelope | events.UnreadableEvent

    @classmethod
    def read(cls, headers: Mapping[str, Any], body: bytes, message_id: str | None) -> "JobMessage":
        try:
            envelope = events.decode(headers, body)
        except events.UnreadableEvent as unreadable:
            return cls(_id_of_unreadable(message_id, body), headers, body, unreadable)
        return cls(envelope.id, headers, body, envelope)

    @classmethod
    def kept(cls, event_id: UUID, headers_json: str | None, body: bytes | None) -> "JobMessage":
        """Restore a message from the ledger; an incomplete one is unreadable."""
        if headers_json is None or body is None:
            return cls(event_id, {}, body or b"", events.UnreadableEvent("the ledger has no message"))
        return cls.read(json.loads(headers_json), body, str(event_id))

    @property
    def envelope(self) -> events.Envelope:
        """Raises `UnreadableEvent`."""
        if isinstance(self.content, events.UnreadableEvent):
            raise self.content
        return self.content

    @property
    def is_readable(self) -> bool:
        return isinstance(self.content, events.Envelope)

    @property
    def user_id(self) -> UUID | None:
        """Return the user whom the message concerns; of an unreadable one, the user that its headers name."""
        if isinstance(self.content, events.Envelope):
            user_id = self.content.event.user_id
            return None if user_id == NOBODY else user_id
        try:
            return UUID(str(self.headers.get("subject")))
        except ValueError:
            return None

    @property
    def traceparent(self) -> str | None:
        return self.content.traceparent if isinstance(self.content, events.Envelope) else None

    @property
    def event_type(self) -> str:
        return storable(str(self.headers.get("type", "")), MAX_TYPE)

    @property
    def headers_json(self) -> str:
        return json.dumps(dict(self.headers), default=str)

    def headers_json_due(self, at: datetime) -> str:
        """Return the headers of the same message, due at that time."""
        return json.dumps({**self.headers, "due": rfc3339(at)}, default=str)


def _id_of_unreadable(message_id: str | None, body: bytes) -> UUID:
    try:
        return UUID(message_id or "")
    except ValueError:
        return uuid5(NAMESPACE_OID, f"{message_id}\n{body.hex()}")


def storable(text: str, limit: int) -> str:
    """Remove NUL and lone surrogates, which Postgres rejects, and truncate to `limit`."""
    return text[:limit].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
