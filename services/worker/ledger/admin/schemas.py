"""Requests and responses of operators about the ledger."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

MAX_EVENT_IDS = 1000
MAX_AT_ONCE = 10_000

State = Literal["scheduled", "waiting", "running", "retrying", "done", "dead", "cancelled", "discarded", "suppressed"]
"""`waiting` is due and has not started, `running` is in flight now: both are computed, and never stored."""
JOB_NAME = r"^[a-z][a-z0-9_-]{0,31}$"
JobName = Annotated[str, StringConstraints(pattern=JOB_NAME), Field(examples=["email"])]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]

StateQuery = Annotated[
    State | None,
    Query(
        description="without it, a search (user_id, event_type, from, to, q) finds every state, and any other list has"
        " the dead, retrying and scheduled ones"
    ),
]
UserQuery = Annotated[UUID | None, Query(description="only of this user")]
TypeQuery = Annotated[Text | None, Query(description="only of this event or task type", examples=["order.paid"])]
FromQuery = Annotated[AwareDatetime | None, Query(alias="from", description="only those that arrived at or after this")]
ToQuery = Annotated[AwareDatetime | None, Query(alias="to", description="only those that arrived before this")]
SearchQuery = Annotated[
    Text | None,
    Query(
        description="the id of an event, or at least its first 8 digits; a user's id; or part of a type or an error",
        examples=["connection refused"],
    ),
]
JobQuery = Annotated[JobName | None, Query(description="only of this job")]
GroupQuery = Annotated[
    Text | None,
    Query(
        description="only failures with this cause", examples=["MailRefused in services.worker.email.delivery:deliver"]
    ),
]


class JobSummary(BaseModel):
    """One event of one job. `attempts` counts from the beginning, or from the last replay."""

    model_config = ConfigDict(from_attributes=True)

    job: str = Field(examples=["email"])
    event_id: UUID
    user_id: UUID | None
    event_type: str = Field(examples=["order.paid"])
    state: State
    attempts: int = Field(examples=[5])
    next_attempt_at: datetime | None
    key: str | None
    error: str | None = Field(description="the same as `last_error`")
    last_error: str | None
    error_group: str | None
    created_at: datetime
    updated_at: datetime


class Attempt(BaseModel):
    """One attempt. An interrupted one has no duration: its worker was killed."""

    model_config = ConfigDict(from_attributes=True)

    number: int = Field(examples=[1])
    started_at: datetime
    duration_ms: float | None
    worker: str = Field(examples=["worker-1"])
    outcome: Literal["done", "retrying", "dead", "suppressed", "running", "interrupted"]
    error: str | None
    trace_id: str | None


class AuditEntry(BaseModel):
    """`actor` is the operator's user id; the `previous_…` fields are the state before the action."""

    model_config = ConfigDict(from_attributes=True)

    action: Literal["replay", "discard", "retry", "cancel", "pause", "resume", "run"]
    actor: UUID
    reason: str | None
    previous_state: State | None
    previous_attempts: int | None
    previous_error: str | None
    at: datetime


class JobDetail(JobSummary):
    total_attempts: int = Field(description="over all replays", examples=[5])
    payload: str | None = Field(description="the message as received; for administrators, until the job is done")
    headers: dict[str, Any] | None = Field(description="likewise")
    attempt_log: list[Attempt] = Field(description="the oldest first, over all replays")
    audit: list[AuditEntry]


class JobGroup(BaseModel):
    """Jobs with the same kind of failure; the example is the one that changed last."""

    model_config = ConfigDict(from_attributes=True)

    job: str = Field(examples=["email"])
    state: State
    error_group: str | None
    count: int = Field(examples=[12])
    first_seen: datetime
    last_seen: datetime
    example_event_id: UUID
    example_error: str | None


class JobGroups(BaseModel):
    items: list[JobGroup]


FILTERS = ("job", "error_group", "event_ids", "user_id", "event_type", "since", "until", "q")


class Selection(BaseModel):
    """The jobs to change: those that match every filter, which are the same as of the list. At least one is required,
    and `state` alone is not enough."""

    model_config = ConfigDict(extra="forbid")

    job: JobName | None = None
    error_group: Text | None = None
    event_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_EVENT_IDS)] | None = None
    user_id: UUID | None = None
    event_type: Text | None = None
    since: AwareDatetime | None = Field(None, alias="from")
    until: AwareDatetime | None = Field(None, alias="to")
    q: Text | None = None
    state: State | None = None
    as_of: AwareDatetime | None = Field(None, description="only those unchanged since; `as_of` of an earlier response")
    limit: int = Field(1000, ge=1, le=MAX_AT_ONCE)
    dry_run: bool = False

    @model_validator(mode="after")
    def _not_everything(self) -> Self:
        if all(getattr(self, name) is None for name in FILTERS):
            raise PydanticCustomError(
                "no_filter", "give at least one of job, error_group, event_ids, user_id, event_type, from, to and q"
            )
        return self


class Replay(Selection):
    state: Literal["dead", "discarded"] = "dead"
    rate_per_s: float | None = Field(None, ge=0.01, le=10_000, description="all at once by default")
    delay_s: float = Field(0, ge=0, le=7 * 86_400, description="until the first is due")


class Discard(Selection):
    state: Literal["dead"] = "dead"
    reason: Text = Field(examples=["the mailbox is gone"])


class Cancel(Selection):
    state: Literal["scheduled", "waiting", "retrying"] | None = None


class Retry(Selection):
    """Without a state and without a search (user_id, event_type, from, to, q), only dead, retrying and scheduled ones
    are meant, as in the list."""

    state: Literal["scheduled", "waiting", "retrying", "dead", "discarded", "cancelled"] | None = None


class Matched(BaseModel):
    """`matched` is the number of jobs found at the time `as_of`, whatever the limit. To cancel and to
    retry, at most 100,000 are counted."""

    matched: int = Field(examples=[12])
    as_of: datetime


class Replayed(Matched):
    replayed: int = Field(examples=[12])


class Discarded(Matched):
    discarded: int = Field(examples=[12])


class Cancelled(Matched):
    cancelled: int


class Retried(Matched):
    retried: int


class PausedJob(BaseModel):
    """A job whose attempts do not start. `actor` is the operator's user id."""

    job: str = Field(examples=["email"])
    actor: UUID
    paused_at: datetime


class PausedJobs(BaseModel):
    items: list[PausedJob]


class HistoryMinute(BaseModel):
    """One minute, which begins at `at`. `failed` attempts were the last of their jobs, `retried` ones were not."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    done: int
    failed: int
    retried: int
    median_ms: float | None = Field(description="of all attempts; a batch is one; null without any")


class JobHistory(BaseModel):
    """The sums of the hour, and the minutes in which there were attempts, the oldest first."""

    model_config = ConfigDict(from_attributes=True)

    job: str = Field(examples=["email"])
    done: int
    failed: int
    retried: int
    median_ms: float | None
    minutes: list[HistoryMinute]


class JobHistories(BaseModel):
    """The hour that ends with the minute `until`, which is not over."""

    until: datetime
    items: list[JobHistory]


class WorkerProcess(BaseModel):
    """A worker process, and what it did when it was last seen. One that is not alive was killed, or cannot reach the
    database."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    host: str = Field(examples=["worker-1"])
    pid: int
    version: str = Field(examples=["0.2.0"])
    started_at: datetime
    seen_at: datetime
    alive: bool
    in_progress: dict[str, int] = Field(
        description="attempts in progress by job; a batch is one", examples=[{"email": 2}]
    )
    consumers: list[str] = Field(description="the queues that it consumes", examples=[["email"]])
    consumers_expected: int = Field(description="how many queues it should consume")


class WorkerProcesses(BaseModel):
    items: list[WorkerProcess]


class ScheduleSummary(BaseModel):
    """A job that runs at the times of a cron line. While it is paused it has no next run."""

    name: str = Field(examples=["weekly-digest"])
    cron: str = Field(examples=["0 7 * * 1"])
    timezone: str = Field(examples=["Europe/Berlin"])
    paused: bool
    last_run: datetime | None
    next_run: datetime | None


class Run(BaseModel):
    """The job that was added."""

    job: str = Field(examples=["weekly-digest"])
    event_id: UUID
