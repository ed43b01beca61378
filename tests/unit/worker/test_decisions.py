"""The worker's small decisions: how long to wait, what failed alike, which message is which."""

import json
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.broker.acknowledgements import Watermark
from services.worker.email.smtp import options_of
from services.worker.jobs import discover
from services.worker.ledger import failures
from services.worker.ledger.job import JobMessage, Permanent, Policy, Transient, storable
from shared.contracts.events import UnreadableEvent
from shared.contracts.subscriptions import SUBSCRIPTIONS

POLICY = Policy(attempts=5, backoff_base_s=2, backoff_cap_s=60, prefetch=1, concurrency=1)


def fail(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(("attempt", "longest"), [(1, 2), (2, 4), (5, 32), (6, 60), (10_000, 60)])
def test_backoff_doubles_up_to_its_cap(attempt: int, longest: float) -> None:
    """The longest wait doubles with each attempt, and jitter takes all of it or nothing."""
    assert POLICY.backoff_s(attempt, lambda: 1.0) == longest
    assert POLICY.backoff_s(attempt, lambda: 0.0) == 0


def test_every_queue_has_its_job() -> None:
    """The jobs that receive events or tasks are those of the topology."""
    assert {name: declared.types for name, declared in discover().items() if declared.types} == SUBSCRIPTIONS


def test_an_error_group_knows_no_ids() -> None:
    """Failures of one kind at one place are one group, whatever they say."""
    groups = {failures.error_group(fail(Transient(str(uuid4())))) for _ in range(3)}
    assert groups == {"Transient"}


def test_an_error_group_names_our_innermost_place() -> None:
    """The place is the last one in our own code."""
    with pytest.raises(ValueError, match="not an SMTP URL") as raised:
        options_of("nonsense")
    assert failures.error_group(raised.value) == "ValueError in services.worker.email.smtp:options_of"


def test_what_is_permanent() -> None:
    """Only what depends on nothing but the event."""
    permanent = [Permanent(), UnreadableEvent(), asyncpg.NumericValueOutOfRangeError()]
    transient = [Transient(), RuntimeError(), TimeoutError(), asyncpg.DeadlockDetectedError()]
    assert all(map(failures.is_permanent, permanent))
    assert not any(map(failures.is_permanent, transient))


@given(st.text())
def test_stored_text_is_what_postgres_takes(text: str) -> None:
    """No NUL, nothing that UTF-8 cannot hold, no more than asked for."""
    kept = storable(text, 20)
    assert "\0" not in kept
    assert len(kept.encode().decode()) <= 20


@given(
    st.dictionaries(st.text(), st.one_of(st.text(), st.binary(), st.integers(), st.lists(st.integers()))), st.binary()
)
def test_every_message_can_be_read_or_kept(headers: dict[str, object], body: bytes) -> None:
    """Whatever comes is an event, or an unreadable one that survives the ledger under its id."""
    delivery = JobMessage.read(headers, body, None)
    kept = JobMessage.kept(delivery.event_id, delivery.headers_json, body)
    assert not delivery.is_readable
    assert kept.event_id == delivery.event_id == JobMessage.read(headers, body, None).event_id
    assert json.loads(delivery.headers_json).keys() == headers.keys()


def test_an_unreadable_message_has_an_id() -> None:
    """Its message id where that is one, else one made from its body."""
    given_id = uuid4()
    assert JobMessage.read({}, b"x", str(given_id)).event_id == given_id
    made = [JobMessage.read({}, body, None).event_id for body in (b"x", b"x", b"y")]
    assert made[0] == made[1] != made[2]
    assert {event_id.version for event_id in made} == {5}


def test_options_of_an_smtp_url() -> None:
    """Credentials may hold any character, quoted; the scheme says how TLS begins."""
    assert options_of("smtps://a%40b:p%3Aw@mail.example") == {
        "hostname": "mail.example",
        "port": 465,
        "username": "a@b",
        "password": "p:w",
        "use_tls": True,
    }
    with pytest.raises(ValueError, match="not an SMTP URL"):
        options_of("http://mail.example")


@given(st.permutations(range(1, 30)), st.sets(st.integers(1, 30)), st.lists(st.integers(1, 8)))
def test_a_watermark_never_acknowledges_what_is_open(order: list[int], returned: set[int], cuts: list[int]) -> None:
    """In whatever order messages are settled, an acknowledgement covers only settled ones, and in the end all."""
    mark: Watermark[int] = Watermark()
    settled: set[int] = set()
    last_acknowledged = 0
    for tag in order:
        mark.settle(tag, None if tag in returned else tag)
        settled.add(tag)
        if len(settled) % (cuts or [1])[len(settled) % len(cuts or [1])]:
            continue
        if (last := mark.advance()) is not None:
            assert set(range(1, last + 1)) <= settled
            assert last > last_acknowledged
            assert last not in returned
            last_acknowledged = last
    last_acknowledged = mark.advance() or last_acknowledged
    assert last_acknowledged == max(set(order) - returned, default=0)


def test_the_id_of_an_event_is_its_header() -> None:
    """A readable message is known by the id in its headers."""
    body = json.dumps({"user_id": str(uuid4()), "revision": 1, "deleted_at": "2026-01-01T00:00:00Z"}).encode()
    headers = {"id": str(UUID(int=7)), "type": "user.deleted", "time": "2026-01-01T00:00:00Z", "traceparent": b"odd"}
    assert JobMessage.read(headers, body, None).event_id == UUID(int=7)
    assert JobMessage.read(headers, body, None).envelope.traceparent is None
