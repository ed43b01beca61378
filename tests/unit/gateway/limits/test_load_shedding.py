"""The limit on requests in flight: the decision alone, and on a simulated event loop. The class of a request."""

from collections import Counter
from itertools import count
from typing import Any

import pytest

from services.gateway.limits.load_shedding import FIRST_COST_S, LoadShedder, RouteClass, route_class_of
from services.gateway.settings import Tuning
from tests.support.gateway.simulated import Costs, arrivals, simulate, stalls

SECONDS = 3.0
DELAY_S = 0.25
"""What may wait for the loop, as the setting has it; a little more is what refusing takes, and the first moment."""
MOST, LEAST = 4096, 128
FIRST = DELAY_S / FIRST_COST_S
"""What is let in before anything is known of costs."""
LATE_S, ON_TIME_S = 0.02, 0.0


def overload(shed_most_in_hand: int = MOST, **tuning: Any) -> LoadShedder:
    return LoadShedder(shed_most_in_hand, Tuning(**tuning))


class Watched:
    """Looks at it every 20 ms, for all of which the process was at work."""

    def __init__(self, **settings: Any) -> None:
        self.load = overload(**settings)
        self._looks = count(1)

    def look(self, *lags: float, used_s: float = 0.02) -> float:
        """The limit after these."""
        for lag_s in lags:
            self.load.look(lag_s, used_s, next(self._looks) * 0.02)
        return self.load.limit

    def come(self, number: int) -> "Watched":
        for _ in range(number):
            self.load.enter()
        return self

    def answer(self, number: int) -> "Watched":
        for _ in range(number):
            self.load.leave()
        return self


def test_only_while_the_loop_is_late_there_is_a_limit() -> None:
    """From the first look on; at the next that is on time everything is let in again."""
    watched = Watched()
    assert [watched.look(lag_s) for lag_s in (0, LATE_S, LATE_S, 0)] == [MOST, FIRST, FIRST, MOST]


def test_as_much_as_can_be_worked_off_is_let_in() -> None:
    """Of requests that cost 0.2 ms four hundred in 80 ms; it is learned as they are answered."""
    watched = Watched()
    for _ in range(200):
        watched.come(100).answer(100).look(ON_TIME_S)
    assert watched.look(LATE_S) == pytest.approx(DELAY_S / 0.0002, rel=0.1)
    for _ in range(200):
        watched.come(10).answer(10).look(ON_TIME_S)
    assert watched.look(LATE_S) == LEAST


def test_what_others_took_of_the_processor_is_not_its_own_lateness() -> None:
    """A process that was kept waiting for a second, and worked for a millisecond, has no queue."""
    assert Watched().look(1.0, used_s=0.001) == MOST


def test_who_waits_for_a_service_is_not_counted() -> None:
    """Whoever was in hand while the loop was on time; they are forgotten as it goes on being late."""
    watched = Watched().come(1000)
    watched.look(ON_TIME_S)
    assert watched.look(LATE_S) == 900 + FIRST
    assert watched.look(*[LATE_S] * 100) == pytest.approx(FIRST, rel=0.01)


def test_what_can_wait_is_refused_first() -> None:
    """Batches, uploads and downloads at half of what is allowed."""
    load = Watched(shed_most_in_hand=1000).come(500).load
    assert load.is_full("batch")
    assert load.is_full("upload")
    assert not load.is_full("read")
    load.in_flight = 1000
    assert load.is_full("read")


def test_nothing_is_shed_where_shedding_is_off() -> None:
    """However late the loop."""
    watched = Watched(shed_most_in_hand=0, shed_min_in_flight=1)
    watched.load.in_flight = 10**9
    assert watched.load.is_full("batch") is False


@pytest.mark.parametrize("times", [1.3, 2, 3])
def test_a_multiple_of_the_capacity(times: float) -> None:
    """What is accepted is answered soon, from the beginning on, and is nearly all that can be done."""
    costs = Costs()
    seen = simulate(overload(), arrivals(times * costs.capacity, SECONDS), costs)
    assert seen.latency(0.99) < 2 * DELAY_S
    assert seen.latency(0.99, since=0.5) < 1.6 * DELAY_S
    assert len(seen.accepted) > 0.85 * costs.capacity * SECONDS


@pytest.mark.parametrize("times", [0.5, 0.9, 1])
def test_what_can_be_done_is_accepted(times: float) -> None:
    """All of it."""
    assert not simulate(overload(), arrivals(times * Costs().capacity, SECONDS)).refused


@pytest.mark.parametrize(("every_s", "length_s"), [(0.2, 0.03), (0.2, 0.08), (0.012, 0.004)])
def test_neighbours_on_the_processor_are_no_overload(every_s: float, length_s: float) -> None:
    """At half of the capacity nothing is refused, though the loop is late again and again."""
    pauses = stalls(every_s, length_s, SECONDS)
    assert not simulate(overload(), arrivals(0.5 * Costs().capacity, SECONDS), stalled=pauses).refused


@pytest.mark.parametrize("callers", [64, 128, 256])
@pytest.mark.parametrize("answer_s", [0.0001, 0.0002, 0.0004, 0.0006])
def test_nobody_is_refused_who_is_answered_well_in_time(answer_s: float, callers: int) -> None:
    """Callers who come again as soon as they are answered, from the first moment on: each waits for all the others,
    which is less than a quarter of a dashboard's budget."""
    seen = simulate(overload(), [(0.0, "read")] * callers, Costs(answer_s=answer_s), again_until=SECONDS)
    assert seen.latency(0.99) < DELAY_S
    assert not seen.refused


@pytest.mark.parametrize("service_s", [0.05, 0.5])
def test_a_slow_service_is_no_overload(service_s: float) -> None:
    """Hundreds of requests wait for it, and nothing is refused."""
    costs = Costs(service_s=service_s)
    assert not simulate(overload(), arrivals(0.5 * costs.capacity, SECONDS), costs).refused


def test_it_is_over_when_the_excess_is() -> None:
    """Half a second later nothing is refused any more."""
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
    assert refused["batch"] > 0.6 * 1.5 * capacity * SECONDS
    assert refused["read"] < 0.1 * 0.6 * capacity * SECONDS


def test_refusing_has_its_price() -> None:
    """Where a refusal costs a quarter of an answer, three times the capacity leaves a third of it; what is accepted is
    answered within the double all the same."""
    costs = Costs(answer_s=0.0001, refuse_s=0.000026, service_s=0)
    seen = simulate(overload(), arrivals(3 * costs.capacity, SECONDS), costs)
    assert 0.25 < len(seen.accepted) / (costs.capacity * SECONDS) < 0.5
    assert seen.latency(0.99) < 2.5 * DELAY_S


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/v1/dashboard", "read"),
        ("HEAD", "/v1/orders", "read"),
        ("GET", "/v1/reports/019b/download", "stream"),
        ("GET", "/v1/dashboard/events", "stream"),
        ("POST", "/v1/tokens", "login"),
        ("POST", "/v1/tokens/refresh", "write"),
        ("GET", "/v1/identity-providers/example/sign-in", "login"),
        ("GET", "/v1/identity-providers/example/callback", "login"),
        ("POST", "/v1/identity-links", "login"),
        ("GET", "/v1/identity-providers", "read"),
        ("POST", "/v1/users", "registration"),
        ("GET", "/v1/users", "read"),
        ("POST", "/v1/imports", "upload"),
        ("PUT", "/v1/me/avatar", "upload"),
        ("POST", "/v1/dashboards/batch", "batch"),
        ("DELETE", "/v1/me", "write"),
        ("BREW", "/v1/me", "write"),
    ],
)
def test_classes(method: str, path: str, kind: RouteClass) -> None:
    """By method and path alone."""
    assert route_class_of(method, path) == kind
