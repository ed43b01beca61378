"""The worker's tables: the ledger of its jobs, and what the jobs produce. A feature slice has its tables in its own
`models.py`."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.db.engine import TYPES
from shared.db.personal_data import Delete, Execute, Kept, NotExported, Part, PersonalData, Update
from shared.outbox.outbox import outbox_table

NOW = sa.text("now()")
ZERO = sa.text("0")
REVENUE = "(revenue + revenue_beyond)"
"""SQL for the revenue of a row of a rollup."""
SUMS_STAY = Kept("totals under an id that identifies no one")

# A locked row is being tried: that attempt waits for this transaction, and finds the tombstone.
END_JOBS = """
    UPDATE jobs SET state = CASE WHEN state IN ('scheduled', 'retrying', 'dead') THEN 'done' ELSE state END,
        next_attempt_at = NULL, last_error = NULL, error_group = NULL, payload = NULL, headers = NULL,
        updated_at = now()
    WHERE (job, event_id) IN (
        SELECT job, event_id FROM jobs WHERE user_id = $1 AND state <> 'done' AND job = ANY($2) FOR UPDATE SKIP LOCKED
    )
"""
BECOME_TOMBSTONE = """
    INSERT INTO recipients AS kept (user_id, revision, email, name) VALUES ($1, $2, NULL, NULL)
    ON CONFLICT (user_id) DO UPDATE
    SET revision = greatest(kept.revision, excluded.revision), email = NULL, name = NULL
"""


class Base(DeclarativeBase):
    type_annotation_map = TYPES


class JobRow(PersonalData, Base):
    """One event of one job; `payload` and `headers` are the message as received, kept until the job is done.

    The states are scheduled, retrying, done, dead, cancelled, discarded and suppressed. A row that is scheduled (not
    started yet) or retrying is due at `next_attempt_at`, or its attempt is in flight outside the database until
    `leased_until`. Rows with a `lane` are not run by the retry loop, but by the dispatcher that applies the lanes'
    limits (`webhooks`). `started_at` is when a task with a key first started.

    Erasure needs `jobs`, the names of the jobs that end with a user.
    """

    __tablename__ = "jobs"
    __export__ = NotExported("copies of events, until they are processed; what they lead to is exported")
    __erasure__ = Execute(END_JOBS, arguments=("user_id", "jobs"))

    job: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID | None]
    event_type: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default=sa.text("1"))
    next_attempt_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    error_group: Mapped[str | None]
    payload: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    headers: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON)
    lane: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    task_key: Mapped[str | None]
    started_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]

    __table_args__ = (
        sa.Index(
            "jobs_next",
            "job",
            "next_attempt_at",
            postgresql_where=sa.text("state IN ('retrying', 'scheduled') AND lane IS NULL"),
        ),
        sa.Index(
            "jobs_due_in_lane",
            "job",
            "lane",
            "next_attempt_at",
            postgresql_where=sa.text("state = 'retrying' AND lane IS NOT NULL"),
        ),
        sa.Index("jobs_dead", "job", "error_group", postgresql_where=sa.text("state = 'dead'")),
        sa.Index(
            "jobs_open",
            sa.text("event_id DESC"),
            "job",
            postgresql_where=sa.text("state IN ('dead', 'retrying', 'scheduled')"),
        ),
        sa.Index(
            "jobs_closed",
            sa.text("event_id DESC"),
            "job",
            postgresql_where=sa.text("state IN ('cancelled', 'discarded', 'suppressed')"),
        ),
        sa.Index("jobs_ended", "updated_at", postgresql_where=sa.text("state IN ('done', 'cancelled', 'suppressed')")),
        sa.Index(
            "jobs_user", "user_id", sa.text("event_id DESC"), "job", postgresql_where=sa.text("user_id IS NOT NULL")
        ),
        sa.Index("jobs_type", "event_type", sa.text("event_id DESC"), "job"),
        sa.Index("jobs_arrived", "job", "created_at"),
        sa.Index(
            "jobs_key_waiting",
            "job",
            "task_key",
            postgresql_where=sa.text(
                "task_key IS NOT NULL AND started_at IS NULL AND state IN ('retrying', 'scheduled')"
            ),
        ),
        sa.Index(
            "jobs_key_started",
            "job",
            "task_key",
            "started_at",
            postgresql_where=sa.text("task_key IS NOT NULL AND started_at IS NOT NULL"),
        ),
    )


class JobAttempt(PersonalData, Base):
    """One attempt at a job. Without a duration it is in flight, or its process was killed.

    `user_id` is set for attempts with an error, whose text may be about the user.
    """

    __tablename__ = "job_attempts"
    __export__ = NotExported("a log for operators")
    __erasure__ = Update("error = NULL, user_id = NULL")

    job: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(primary_key=True)
    duration_ms: Mapped[float | None]
    worker: Mapped[str]
    outcome: Mapped[str]
    user_id: Mapped[UUID | None]
    error: Mapped[str | None]
    trace_id: Mapped[str | None]

    __table_args__ = (sa.Index("job_attempts_user", "user_id", postgresql_where=sa.text("user_id IS NOT NULL")),)


class PausedJob(PersonalData, Base):
    """A job that does not run until it is resumed. `actor` is the operator's user id."""

    __tablename__ = "paused_jobs"
    __of_user__ = "actor = $1"
    __export__ = NotExported("actions of operators")
    __erasure__ = Kept("a job stays paused when the operator's account is deleted")

    job: Mapped[str] = mapped_column(primary_key=True)
    actor: Mapped[UUID]
    paused_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ScheduleRow(Base):
    """The schedule of the job with this name; without `next_run` while it is paused."""

    __tablename__ = "schedules"

    name: Mapped[str] = mapped_column(primary_key=True)
    cron: Mapped[str]
    timezone: Mapped[str]
    paused: Mapped[bool] = mapped_column(server_default=sa.false())
    last_run: Mapped[datetime | None]
    next_run: Mapped[datetime | None]


class JobMinute(Base):
    """Attempts at a job in one minute, of all workers (`ledger.history`); `durations` counts them by duration."""

    __tablename__ = "job_minutes"

    job: Mapped[str] = mapped_column(primary_key=True)
    minute: Mapped[datetime] = mapped_column(primary_key=True)
    done: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    failed: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    retried: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    durations: Mapped[list[int]] = mapped_column(sa.ARRAY(sa.BigInteger))


class WorkerRow(Base):
    """A running worker process, until it stops (`ledger.heartbeats`)."""

    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    in_progress: Mapped[dict[str, int]] = mapped_column(sa.JSON)
    consumers: Mapped[list[str]] = mapped_column(sa.ARRAY(sa.Text))
    consumers_expected: Mapped[int]


class JobRate(Base):
    """When the next job with a rate may start."""

    __tablename__ = "job_rates"

    job: Mapped[str] = mapped_column(primary_key=True)
    next_start: Mapped[datetime]


class JobAudit(PersonalData, Base):
    """An operator's action; `actor` is their user id. An action on a whole job or schedule has no event."""

    __tablename__ = "job_audit"
    __export__ = NotExported("actions of operators")
    __erasure__ = Update("previous_error = NULL")

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    job: Mapped[str]
    event_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    action: Mapped[str]
    actor: Mapped[UUID]
    reason: Mapped[str | None]
    previous_state: Mapped[str | None]
    previous_attempts: Mapped[int | None]
    previous_error: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        sa.Index("job_audit_job", "job", "event_id"),
        sa.Index("job_audit_user", "user_id"),
    )


class Recipient(PersonalData, Base):
    """The address of a user's mail, and whether it is verified. For a deleted user only the revision remains; erasure
    needs it, as `revision`."""

    __tablename__ = "recipients"
    __export__ = NotExported("a copy of the profile")
    __erasure__ = Execute(BECOME_TOMBSTONE, arguments=("user_id", "revision"))

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int]
    email: Mapped[str | None]
    name: Mapped[str | None]
    verified: Mapped[bool] = mapped_column(server_default=sa.true())


class Notification(PersonalData, Base):
    """`id` is the id of its event. `subject_kind` (order, import) and `subject_id` say what it is about, if it is about
    something that has a page."""

    __tablename__ = "notifications"
    __export__ = Part("notifications", "id, kind, title, body, read, created_at, subject_kind, subject_id")
    __erasure__ = Delete()

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    title: Mapped[str]
    body: Mapped[str]
    read: Mapped[bool] = mapped_column(server_default=sa.false())
    created_at: Mapped[datetime]
    subject_kind: Mapped[str | None]
    subject_id: Mapped[UUID | None]

    __table_args__ = (
        sa.Index("notifications_unread", "user_id", "id", postgresql_where=sa.text("NOT read")),
        # For the panel, which reads only these columns. An index entry is at most 2.7 KB: texts must be short.
        sa.Index(
            "notifications_recent",
            "user_id",
            "id",
            postgresql_include=["kind", "title", "body", "read", "created_at", "subject_kind", "subject_id"],
        ),
    )


class UserRollup(PersonalData, Base):
    __tablename__ = "user_rollups"
    __export__ = NotExported("sums of orders, which are exported")
    __erasure__ = SUMS_STAY

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    orders: Mapped[int] = mapped_column(sa.BigInteger)
    items: Mapped[int] = mapped_column(sa.BigInteger)
    last_order_at: Mapped[datetime | None]


class UserStatusRollup(PersonalData, Base):
    """The number of orders with this status. Below zero while an earlier event is still to come."""

    __tablename__ = "user_status_rollups"
    __export__ = NotExported("sums of orders, which are exported")
    __erasure__ = SUMS_STAY

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(primary_key=True)
    orders: Mapped[int] = mapped_column(sa.BigInteger)


class UserCurrencyRollup(PersonalData, Base):
    """The revenue of the orders that are not cancelled (`services.worker.analytics.rollups`), and their number."""

    __tablename__ = "user_currency_rollups"
    __export__ = NotExported("sums of orders, which are exported")
    __erasure__ = SUMS_STAY

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    orders: Mapped[int] = mapped_column(sa.BigInteger)
    revenue: Mapped[int] = mapped_column(sa.BigInteger)
    revenue_beyond: Mapped[Decimal] = mapped_column(sa.Numeric, server_default=ZERO)


class DailyRollup(PersonalData, Base):
    """By the UTC day of the order's creation: every placed order, and the revenue of those not cancelled."""

    __tablename__ = "daily_rollups"
    __export__ = Part(
        "analytics",
        f"day, currency, orders, greatest({REVENUE}, 0) AS revenue",
        order_by="daily_rollups.day, currency",
    )
    __erasure__ = SUMS_STAY

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    orders: Mapped[int] = mapped_column(sa.BigInteger)
    revenue: Mapped[int] = mapped_column(sa.BigInteger)
    revenue_beyond: Mapped[Decimal] = mapped_column(sa.Numeric, server_default=ZERO)

    # For the panel, which reads only these columns.
    __table_args__ = (
        sa.Index(
            "daily_rollups_panel",
            "user_id",
            "day",
            "currency",
            postgresql_include=["orders", "revenue", "revenue_beyond"],
        ),
    )


class Mail(PersonalData, Base):
    """The state of one event's mail. `recipient` is None once the user is deleted.

    sending: in flight until `lease_until`, or, without one, certainly not sent yet · uncertain: the last attempt may
    have sent it · withdrawn: the recipient was deleted, or the mail was no longer wanted, before it was sent.
    `uncertain_attempts` remains. `send_after` is the place of a mail in the limit of its recipient, if that is not when
    it was created.
    """

    __tablename__ = "mails"
    __export__ = Part("mails", "recipient, state, created_at, updated_at", order_by="created_at")
    __erasure__ = Update(
        """
        recipient = NULL, updated_at = now(),
        state = CASE WHEN state <> 'sending' OR lease_until > clock_timestamp() THEN state
            WHEN lease_until IS NULL THEN 'withdrawn' ELSE 'uncertain' END
        """,
        where="recipient IS NOT NULL",
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True, unique=True)
    message_id: Mapped[str]
    recipient: Mapped[str | None]
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default=sa.text("1"))
    uncertain_attempts: Mapped[int] = mapped_column(server_default=sa.text("0"))
    lease_until: Mapped[datetime | None]
    server_reply: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    send_after: Mapped[datetime | None]

    __table_args__ = (
        sa.CheckConstraint("state IN ('sending', 'sent', 'uncertain', 'rejected', 'withdrawn')", name="mails_state"),
        sa.Index("mails_age", "updated_at"),
        sa.Index(
            "mails_recipient",
            sa.text("lower(recipient)"),
            sa.text("coalesce(send_after, created_at)"),
            postgresql_where=sa.text("recipient IS NOT NULL"),
        ),
    )


class NotificationSetting(PersonalData, Base):
    """A user's choice whether mails of a kind are sent (`services.worker.email.kinds`). Without it, the kind's default
    applies."""

    __tablename__ = "notification_settings"
    __export__ = Part("notification_settings", "kind, mail, updated_at", order_by="kind")
    __erasure__ = Delete()

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    mail: Mapped[bool]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (sa.Index("notification_settings_wanted", "kind", "user_id", postgresql_where=sa.text("mail")),)


class Outbox(PersonalData, Base):
    __table__ = outbox_table(Base.metadata)
    __export__ = NotExported("copies of what other tables contain, until they are published")
    __erasure__ = Kept("events without a name or an address, deleted when they are published")
