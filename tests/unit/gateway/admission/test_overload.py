"""How many requests may be in hand: the decision alone, and on a simulated event loop."""

from collections import Counter
from typing import Any

import pytest

from services.gateway.admission.overload import Overload
from services.gateway.settings import Settings
from tests.unit.gateway.admission.simulated import Costs, arrivals, simulate, stalls

SECONDS = 3.0
TARGET_S = 0.12
"""What is accepted is answered within that, and the time that services take."""
LATE_S, ON_TIME_S = 0.02, 0.0


def overload(**settings: Any) -> Overload:
    return Overload(Settings(environment="development", **settings))


def patient() -> Overload:
    """One that lets in any burst."""
    return overload(shed_burst_s=60)


def looked(load: Overload, lags: list[float], used_s: float = 0.02) -> float:
    """The limit, after it was as late as that every 100 ms."""
    began = getattr(load, "until", 0.0)
    for number, lag_s in enumerate(lags, 1):
        load.look(lag_s, used_s, began + number * 0.1)
    load.until = began + len(lags) * 0.1  # type: ignore[attr-defined]
    return load.limit


def busy(load: Overload, in_hand: int) -> Overload:
    for _ in range(in_hand):
        load.enter()
    return load


def test_one_look_on_time_and_there_is_no_queue() -> None:
    """However late the others: something has been worked off. Late at each, and less is let in."""
    assert looked(busy(patient(), 1000), [0, LATE_S, 0, LATE_S, LATE_S, 0, LATE_S]) == 4096
    assert looked(busy(patient(), 1000), [LATE_S] * 3) < 1000


def test_the_later_the_less() -> None:
    """Of what was in hand, not of what was allowed; never below the least."""
    little, much = (looked(busy(patient(), 1000), [lag] * 3) for lag in (0.006, 0.01))
    assert [little, much] == pytest.approx([1000 * 5 / 6, 500])
    assert looked(busy(patient(), 100), [0.02] * 3) == 64


def test_what_was_let_in_before_is_worked_off_first() -> None:
    """While more is in hand than is allowed, its being late tells nothing new."""
    load = busy(patient(), 1000)
    once = looked(load, [0.01] * 3)
    assert looked(load, [0.01] * 20) == once


def test_what_others_took_of_the_processor_is_not_its_own_lateness() -> None:
    """A process that was kept waiting for a second, and worked for a millisecond, has no queue."""
    assert looked(busy(overload(), 1000), [1.0] * 10, used_s=0.001) == 4096


def test_a_loop_on_time_takes_more_again() -> None:
    """While what is allowed is made use of; up to the most."""
    load = busy(overload(), 200)
    low = looked(load, [LATE_S] * 3)
    for _ in range(190):
        load.leave()
    looked(load, [LATE_S] * 2)
    assert looked(load, [ON_TIME_S] * 6) == low
    assert looked(busy(load, 2000), [ON_TIME_S] * 40) == 4096


def test_a_burst_is_let_in_only_as_far_as_it_can_soon_be_done() -> None:
    """From the first late look on: at first a request is taken to cost a millisecond, then what it does cost."""
    assert looked(overload(), [LATE_S]) == 100
    load = overload()
    for round_ in range(30):
        for _ in range(100):
            load.enter()
            load.leave()
        load.look(ON_TIME_S, 0.02, round_ * 0.2)
    load.look(LATE_S, 0.02, 30 * 0.2 + 0.01)
    assert load.limit == pytest.approx(0.1 / 0.0002, rel=0.1)


def test_what_can_wait_is_refused_first() -> None:
    """Batches, uploads and downloads at half of what is allowed."""
    load = busy(overload(shed_most_in_hand=1000), 500)
    assert load.is_full("batch")
    assert load.is_full("upload")
    assert not load.is_full("read")
    assert busy(load, 500).is_full("read")


def test_nothing_is_shed_where_shedding_is_off() -> None:
    """However late the loop."""
    load = overload(shed_most_in_hand=0)
    load.in_hand = 10**9
    assert not load.is_full("batch")


@pytest.mark.parametrize("times", [1.3, 2, 3])
def test_a_multiple_of_the_capacity(times: float) -> None:
    """What is accepted is answered within the target from the beginning, and is nearly all that can be done."""
    costs = Costs()
    seen = simulate(overload(), arrivals(times * costs.capacity, SECONDS), costs)
    assert seen.latency(0.99) < TARGET_S
    assert len(seen.accepted) > 0.85 * costs.capacity * SECONDS


@pytest.mark.parametrize("times", [0.5, 0.9, 1])
def test_what_can_be_done_is_accepted(times: float) -> None:
    """All of it."""
    assert not simulate(overload(), arrivals(times * Costs().capacity, SECONDS)).refused


@pytest.mark.parametrize(("every_s", "length_s"), [(0.2, 0.03), (0.2, 0.1), (0.012, 0.004)])
def test_neighbours_on_the_processor_are_no_overload(every_s: float, length_s: float) -> None:
    """At half of the capacity nothing is refused, though the loop is late again and again."""
    pauses = stalls(every_s, length_s, SECONDS)
    assert not simulate(overload(), arrivals(0.5 * Costs().capacity, SECONDS), stalled=pauses).refused


@pytest.mark.parametrize("service_s", [0.05, 0.5])
def test_a_slow_service_is_no_overload(service_s: float) -> None:
    """Hundreds of requests wait for it, and nothing is refused."""
    costs = Costs(service_s=service_s)
    assert not simulate(overload(), arrivals(0.5 * costs.capacity, SECONDS), costs).refused


def test_it_is_over_when_the_excess_is() -> None:
    """A second later nothing is refused any more."""
    capacity = Costs().capacity
    coming = [*arrivals(3 * capacity, 1), *arrivals(0.5 * capacity, 2, since=1)]
    seen = simulate(overload(), coming)
    assert seen.refused
    assert max(came for came, _ in seen.refused) < 1.5


def test_batches_give_way() -> None:
    """Interactive requests that could all be answered are, and of batches what fits beside them."""
    capacity = Costs().capacity
    coming = [*arrivals(0.6 * capacity, SECONDS), *arrivals(1.5 * capacity, SECONDS, kind="batch")]
    refused = Counter(kind for _, kind in simulate(overload(), coming).refused)
    assert refused["batch"] > 0.7 * 1.5 * capacity * SECONDS
    assert refused["read"] < 0.1 * 0.6 * capacity * SECONDS


def test_refusing_has_its_price() -> None:
    """Where a refusal costs a third of an answer, three times the capacity leaves little of it, and what is accepted
    is answered within the target's double all the same."""
    costs = Costs(answer_s=0.0001, refuse_s=0.00003, service_s=0)
    seen = simulate(overload(), arrivals(3 * costs.capacity, SECONDS), costs)
    assert len(seen.accepted) < 0.5 * costs.capacity * SECONDS
    assert seen.latency(0.99) < 2.5 * TARGET_S
