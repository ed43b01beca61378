"""When a consumer has stalled, when only a restart may help, and what RabbitMQ says of its dead."""

from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.broker.message_processor import halves
from services.worker.broker.stall_detection import Grace, Sample, StallDetector
from services.worker.email.sending import Mails
from services.worker.email.smtp import Mailer
from services.worker.email.unsubscribe import UnsubscribeLinks
from services.worker.jobs import PerEvent, bind, discover
from services.worker.ledger.failures import DeadLetter, error_group, is_permanent
from services.worker.ledger.job import Expired, Unremembered, age_s, refuse_expired, refuse_unremembered
from services.worker.ledger.retries import bounded
from services.worker.settings import DEFAULTS, Settings
from shared.contracts.events import Envelope, UserDeleted
from tests.support.worker.jobs import policies, policy_of

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PREFETCH = 10


def envelope(age: timedelta) -> Envelope:
    return Envelope(id=uuid4(), time=NOW - age, event=UserDeleted(user_id=uuid4(), revision=1, deleted_at=NOW))


def stalled_s(*looks: tuple[int, int, int]) -> float:
    """Of looks at ready, delivered and unsettled, ten seconds apart."""
    watch = StallDetector(PREFETCH)
    for place, look in enumerate(looks):
        watch.observe(Sample(10.0 * place, *look))
    return watch.stalled_s(10.0 * (len(looks) - 1))


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        ([(5, 0, 0), (5, 0, 0), (5, 0, 0)], 10),
        ([(5, 0, 0), (5, 1, 1), (5, 1, 1)], 0),
        ([(5, 7, 10), (5, 7, 10), (5, 7, 10)], 0),
        ([(0, 7, 0), (0, 7, 0), (0, 7, 0)], 0),
        ([(0, 7, 0), (0, 7, 0), (9, 7, 0)], 0),
        ([(5, 7, 3), (5, 7, 3), (5, 7, 3), (5, 8, 4)], 0),
        ([(5, 7, 3), (5, 7, 3), (0, 7, 3), (5, 7, 3)], 0),
        ([(5, 7, 3), (5, 7, 3), (5, 7, 3), (5, 7, 3)], 20),
    ],
    ids=["never any", "just came", "no room", "empty", "first message", "came again", "taken by another", "stopped"],
)
def test_when_a_queue_has_stalled(looks: list[tuple[int, int, int]], seconds: float) -> None:
    """Ready messages, room for them, and none delivered since the last look; anything else starts the time anew."""
    assert stalled_s(*looks) == seconds


def test_one_look_proves_nothing() -> None:
    """Only the second can tell whether a queue gets on."""
    watch = StallDetector(PREFETCH)
    told = []
    for delivered in (0, 1, 1, 2):
        watch.observe(Sample(0, 5, delivered, 0))
        told.append(watch.progresses)
    assert told == [False, True, False, True]


def test_patience_runs_out_of_what_is_never_well() -> None:
    """One good moment starts the time anew."""
    patience = Grace(60)
    assert not patience.has_expired(1000)
    patience.failed(0)
    patience.failed(50)
    assert not patience.has_expired(60)
    assert patience.has_expired(61)
    patience.recovered()
    patience.failed(100)
    assert not patience.has_expired(160)


@cache
def jobs() -> dict[str, Any]:
    """Made once: hypothesis asks for them a hundred times."""
    settings = Settings(environment="development", database_url="", rabbitmq_url="")
    links = UnsubscribeLinks("", "secret")
    mails = PerEvent(partial(Mails, Mailer(settings), settings.mail_from, DEFAULTS.mail_lease_s, links))
    declared = discover()
    return {name: bind(declared[name], {Mails: mails}, settings) for name in ("email", "analytics", "notifications")}


@pytest.mark.parametrize(
    ("headers", "job", "reason"),
    [
        ({"x-death": [{"queue": "worker.email", "reason": "delivery_limit"}]}, "email", "delivery_limit"),
        ({"x-death": [{"queue": "worker.analytics", "reason": "expired"}, {"queue": "x"}]}, "analytics", "expired"),
        ({"x-first-death-queue": "worker.email", "x-first-death-reason": "rejected"}, "email", "rejected"),
        ({"x-death": [{"queue": "worker.eaten", "reason": "eaten"}]}, "unknown", "unknown"),
        ({}, "unknown", "unknown"),
    ],
)
def test_where_a_message_died(headers: dict[str, Any], job: str, reason: str) -> None:
    """The newest death counts; only jobs and reasons that exist are named."""
    death = DeadLetter.read(headers, jobs())
    assert (death.job, death.reason) == (job, reason)


HEADERS = ("x-death", "x-first-death-queue", "x-first-death-reason")
anything = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(HEADERS), anything))
def test_any_headers_name_a_death(headers: dict[str, Any]) -> None:
    """Whatever somebody put there."""
    assert DeadLetter.read(headers, jobs()).error_group.startswith("broker: ")


def test_a_deadline_is_the_age_of_the_event() -> None:
    """Past it the job has expired, in a group of its own; without one it never does; the future is not old."""
    refuse_expired(policy_of("email"), envelope(timedelta(days=3)), NOW)
    refuse_expired(policy_of("analytics"), envelope(timedelta(days=3000)), NOW)
    assert age_s(envelope(timedelta(hours=-1)), NOW) == 0
    with pytest.raises(Expired, match="3 days, 0:00:01 old") as raised:
        refuse_expired(policy_of("email"), envelope(timedelta(days=3, seconds=1)), NOW)
    assert error_group(raised.value) == "expired"
    assert is_permanent(raised.value)


def test_what_may_have_been_forgotten() -> None:
    """An event that is older than what the ledger remembers."""
    refuse_unremembered(60, envelope(timedelta(seconds=60)), NOW)
    with pytest.raises(Unremembered) as raised:
        refuse_unremembered(60, envelope(timedelta(seconds=61)), NOW)
    assert error_group(raised.value) == "unremembered"


def test_deadlines_lie_within_what_is_remembered() -> None:
    """Else a job would be refused as forgotten before it has expired."""
    settings = Settings(environment="development", database_url="", rabbitmq_url="")
    assert all((policy.deadline_s or 0) < settings.keep_done_s for policy in policies(settings).values())


def test_which_jobs_end_with_their_user() -> None:
    """Those whose effect is personal, which is all but two; the sums of the analytics go on, as the orders do. A
    schedule concerns no user."""
    going_on = {name for name, one in discover().items() if not one.policy.ends_with_user and one.schedule is None}
    assert going_on == {"analytics", "recipients"}


def test_error_groups_are_bounded() -> None:
    """The largest groups of each job keep their names, the others are counted together."""
    counts = [("email", f"group {number}", number) for number in range(1, 31)] + [("analytics", "one", 1)]
    kept = bounded(counts, limit=20)
    assert len(kept) == 22
    assert kept["email", "other"] == sum(range(1, 11))
    assert kept["email", "group 30"] == 30
    assert kept["analytics", "one"] == 1


@given(st.lists(st.integers(), min_size=2))
def test_halves_are_the_whole(batch: list[int]) -> None:
    """In order, neither of them empty, and of about the same size."""
    first, second = halves(batch)
    assert [*first, *second] == batch
    assert 0 <= len(second) - len(first) <= 1
