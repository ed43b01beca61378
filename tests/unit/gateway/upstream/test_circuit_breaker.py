"""When calls to a service are suspended and resumed, and how many it gets at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.upstream.circuit_breaker import Bulkhead, CircuitBreaker, State
from services.gateway.upstream.errors import CircuitOpen, Overloaded
from tests.support.metrics import sample

WINDOW_S, OPEN_S, PROBES = 10, 5, 2


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def new(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(
        "example", window_s=WINDOW_S, min_calls=4, error_rate=0.5, open_s=OPEN_S, probes=PROBES, clock=clock
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return new(clock)


def call(breaker: CircuitBreaker, *, failed: bool, times: int = 1) -> None:
    for _ in range(times):
        breaker.record(breaker.admit(), failed=failed)


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    call(breaker, failed=True, times=4)
    assert breaker.state is State.OPEN
    return breaker


def test_too_few_calls_open_nothing(breaker: CircuitBreaker) -> None:
    """However bad, less than the minimum tells nothing."""
    call(breaker, failed=True, times=3)
    assert breaker.state is State.CLOSED


def test_the_rate_opens(breaker: CircuitBreaker) -> None:
    """Below the rate it stays closed, at the rate it opens and refuses."""
    call(breaker, failed=False, times=3)
    call(breaker, failed=True, times=2)
    assert breaker.state is State.CLOSED
    call(breaker, failed=True)
    with pytest.raises(CircuitOpen):
        breaker.admit()


def test_failures_in_a_row_open(breaker: CircuitBreaker) -> None:
    """Whatever went well before: a service that hangs at once would else be asked until the window has forgotten how
    many calls a second it answered."""
    call(breaker, failed=False, times=1000)
    call(breaker, failed=True, times=3)
    call(breaker, failed=False)
    call(breaker, failed=True, times=3)
    assert breaker.state is State.CLOSED
    call(breaker, failed=True)
    with pytest.raises(CircuitOpen):
        breaker.admit()


def test_old_failures_are_forgotten(breaker: CircuitBreaker, clock: Clock) -> None:
    """What happened before the window does not count."""
    call(breaker, failed=True, times=3)
    clock.now += WINDOW_S * 1.1
    call(breaker, failed=True, times=3)
    assert breaker.state is State.CLOSED


def test_probes_close_it_again(breaker: CircuitBreaker, clock: Clock) -> None:
    """After the pause as many calls as there are probes go through; when all succeed, every call does."""
    opened(breaker)
    clock.now += OPEN_S
    probes = [breaker.admit(), breaker.admit()]
    with pytest.raises(CircuitOpen):
        breaker.admit()
    for probe in probes:
        breaker.record(probe, failed=False)
    assert breaker.state is State.CLOSED
    call(breaker, failed=True, times=3)
    assert breaker.state is State.CLOSED


def test_callers_wait_until_the_probes_have_succeeded(breaker: CircuitBreaker, clock: Clock) -> None:
    """Neither the pause nor a probe under way lets one through, and it takes the place of no probe."""
    opened(breaker)
    assert breaker.rest_s == OPEN_S
    clock.now += OPEN_S
    assert breaker.rest_s == 0
    for _ in range(PROBES):
        with pytest.raises(CircuitOpen):
            breaker.admit(probe=False)
        breaker.record(breaker.admit(probe=True), failed=False)
    breaker.record(breaker.admit(probe=False), failed=False)
    assert breaker.state is State.CLOSED


def test_one_bad_probe_opens_it_again(breaker: CircuitBreaker, clock: Clock) -> None:
    """And the pause begins anew."""
    opened(breaker)
    clock.now += OPEN_S
    call(breaker, failed=True)
    assert breaker.state is State.OPEN
    clock.now += OPEN_S / 2
    with pytest.raises(CircuitOpen):
        breaker.admit()


def test_a_probe_that_told_nothing_makes_room_for_another(breaker: CircuitBreaker, clock: Clock) -> None:
    """A cancelled probe does not keep the breaker half open for ever."""
    opened(breaker)
    clock.now += OPEN_S
    for _ in range(10):
        breaker.forget(breaker.admit())
    call(breaker, failed=False, times=2)
    assert breaker.state is State.CLOSED


def test_calls_from_before_do_not_count_as_probes(breaker: CircuitBreaker, clock: Clock) -> None:
    """A call that was let through while closed and ends while half open changes nothing."""
    late = breaker.admit()
    opened(breaker)
    clock.now += OPEN_S
    probe = breaker.admit()
    breaker.record(late, failed=True)
    breaker.forget(late)
    breaker.record(probe, failed=False)
    call(breaker, failed=False)
    assert breaker.state is State.CLOSED


@given(st.lists(st.tuples(st.sampled_from(["good", "bad", "nothing"]), st.floats(0, 8)), max_size=200))
def test_it_never_locks_up(steps: list[tuple[str, float]]) -> None:
    """Whatever came before, a pause and good probes close it."""
    clock = Clock()
    breaker = new(clock)
    for outcome, seconds in steps:
        clock.now += seconds
        try:
            permit = breaker.admit()
        except CircuitOpen:
            continue
        if outcome == "nothing":
            breaker.forget(permit)
        else:
            breaker.record(permit, failed=outcome == "bad")
    clock.now += OPEN_S + WINDOW_S * 1.1
    call(breaker, failed=False, times=PROBES)
    assert breaker.state is State.CLOSED


def test_one_too_many_is_refused() -> None:
    """The slots are all there are, and each that is given back can be held again."""
    bulkhead = Bulkhead("example", max_calls=2)
    bulkhead.take()
    assert not bulkhead.is_full
    bulkhead.take()
    for _ in range(3):
        assert bulkhead.is_full
        with pytest.raises(Overloaded):
            bulkhead.take()
    bulkhead.give_back()
    bulkhead.take()
    assert bulkhead.is_full
    bulkhead.give_back()
    bulkhead.give_back()
    assert not bulkhead.is_full


def test_metrics_say_how_much_is_held_and_refused() -> None:
    """Of each service by its name."""
    refused = {"service": "measured", "code": "overloaded"}
    before = sample("gateway_calls_refused_total", refused) or 0
    bulkhead = Bulkhead("measured", max_calls=1)
    bulkhead.take()
    with pytest.raises(Overloaded):
        bulkhead.take()
    assert sample("gateway_calls_in_flight", {"service": "measured"}) == 1
    assert sample("pool_in_use", {"pool": "panel_calls_measured"}) == 1
    assert sample("pool_limit", {"pool": "panel_calls_measured"}) == 1
    assert sample("gateway_calls_refused_total", refused) == before + 1
