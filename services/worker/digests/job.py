"""Mails last week's totals to each person who wants them, every Monday.

The schedule adds a task for each of them, in one transaction. However often it runs, a person has one digest of a week:
its task is recorded with the person, and any other task for the same week is suppressed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from services.worker.email.kinds import mail_kind
from services.worker.email.layout import Button
from services.worker.email.messages import message
from services.worker.email.sending import Mails, Sending
from services.worker.jobs import job
from services.worker.ledger.job import Suppressed
from services.worker.models import REVENUE
from shared.clock import now
from shared.contracts.events import Envelope
from shared.contracts.tasks import NOBODY, Task, Tick
from shared.db.engine import Connection
from shared.money import format_money
from shared.outbox.tasks import ConnectionTasks

TIMEZONE = "Europe/Berlin"
DAYS = 7
PAGE = 1000
"""How many tasks are added at once."""
KIND = mail_kind(
    "weekly_digest",
    "Weekly digests",
    "You receive this mail on Mondays because you have switched it on in your notification settings.",
    is_default=False,
)

FIND = """
    SELECT user_id FROM notification_settings WHERE kind = $1 AND mail AND user_id > $2 ORDER BY user_id LIMIT $3
"""
RESERVE = """
    INSERT INTO weekly_digests AS last (user_id, week, event_id) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET week = excluded.week, event_id = excluded.event_id
    WHERE last.week < excluded.week OR last.event_id = excluded.event_id
    RETURNING true
"""
# By UTC days, like analytics. Below zero are totals that wait for an earlier event.
SUM_ORDERS = f"""
    SELECT currency, greatest(sum(orders), 0)::bigint AS orders, greatest(sum({REVENUE}), 0)::numeric AS revenue
    FROM daily_rollups WHERE user_id = $1 AND day >= $2 AND day < $3 GROUP BY currency ORDER BY currency
"""  # noqa: S608  constants
COUNT_NOTIFICATIONS = """
    SELECT count(*) FROM notifications
    WHERE user_id = $1 AND created_at >= $2::date AT TIME ZONE 'UTC' AND created_at < $3::date AT TIME ZONE 'UTC'
"""


class SendWeeklyDigest(Task, frozen=True, kw_only=True):
    """`week` is its Monday."""

    week: date


class DigestExists(Suppressed):
    """Another task has sent this person's digest of this week, or of a later one."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What happened to a person in a week; `revenue` is in words, by currency."""

    orders: int
    revenue: Sequence[str]
    notifications: int

    @property
    def is_empty(self) -> bool:
        return not (self.orders or self.revenue or self.notifications)


DIGEST = message(
    __name__,
    "weekly_digest",
    "Your week from {{ days }}",
    KIND,
    button=Button("Open dashboard", "{{ public_url }}/"),
    sample={"days": "19 to 25 January 2026", "totals": Totals(12, ["1,284.50 EUR", "9,800 JPY"], 31)},
)


def last_week(moment: datetime) -> date:
    """Return the Monday of the week before the one in which `moment` is, where the schedule is."""
    today = moment.astimezone(ZoneInfo(TIMEZONE)).date()
    return today - timedelta(days=today.weekday() + DAYS)


def days_of(week: date) -> str:
    """Return its days in words, such as `19 to 25 January 2026`."""
    last = week + timedelta(days=DAYS - 1)
    month = "" if week.month == last.month else f" {week:%B}"
    year = "" if week.year == last.year else f" {week.year}"
    return f"{week.day}{month}{year} to {last.day} {last:%B %Y}"


@job(cron="0 7 * * 1", timezone=TIMEZONE, missed="once", concurrency=1)
async def weekly_digest(_tick: Tick, db: Connection, tasks: ConnectionTasks) -> None:
    """Add a task for each person who wants a digest, of the week that ended last: a late run does not send old ones."""
    week, after = last_week(now()), NOBODY
    while users := [row["user_id"] for row in await db.fetch(FIND, KIND.name, after, PAGE)]:
        for user_id in users:
            tasks.add_task(SendWeeklyDigest(user_id=user_id, week=week), key=f"{week} {user_id}")
        await tasks.flush(db)
        after = users[-1]


@job(
    on=SendWeeklyDigest,
    attempts=20,
    backoff_base_s=2,
    backoff_cap_s=3600,
    concurrency=1,  # no digest is urgent: other mails get the connections
    deadline_s=3 * 24 * 3600,
    ends_with_user=True,
)
async def send_weekly_digest(
    task: SendWeeklyDigest, envelope: Envelope, db: Connection, mails: Mails
) -> Sending | None:
    if not await db.fetchval(RESERVE, task.user_id, task.week, envelope.id):
        raise DigestExists(f"another task has the digest of {task.week} or of a later week")
    totals = await totals_of(db, task.user_id, task.week)
    if totals.is_empty:
        return None
    return await mails.to_user(task.user_id, DIGEST, days=days_of(task.week), totals=totals)


async def totals_of(db: Connection, user_id: UUID, week: date) -> Totals:
    end = week + timedelta(days=DAYS)
    sums = await db.fetch(SUM_ORDERS, user_id, week, end)
    revenue = [format_money(int(row["revenue"]), row["currency"]) for row in sums if row["revenue"]]
    notifications = await db.fetchval(COUNT_NOTIFICATIONS, user_id, week, end)
    return Totals(sum(row["orders"] for row in sums), revenue, notifications)
