"""Who joins whom, and what a change does to it."""

import time
from contextvars import copy_context

from services.gateway.dashboard.cache import Fill
from services.gateway.dashboard.models import Answer
from services.gateway.upstream.single_flight import Begin, Flight, Flights

GOOD = Answer()


class Passenger:
    def __init__(self) -> None:
        self.heard: list[tuple[str, Answer]] = []

    def arrived(self, panel: str, answer: Answer) -> None:
        self.heard.append((panel, answer))


class Airport:
    """Opens flights, and keeps those that were given up and what was brought."""

    def __init__(self) -> None:
        self.abandoned: list[Flight] = []
        self.kept: list[tuple[Flight, Answer]] = []
        self._flights = Flights({panel: self._opener(panel) for panel in ("user", "orders")}, self._keep)
        self.drop = self._flights.drop
        self.drop_all = self._flights.drop_all

    def to(self, panel: str, user_id: str, *, patience_s: float = 0.0, anew: bool = False) -> Flight:
        return self._flights.to(panel, Fill(user_id, 0, 0), copy_context(), patience_s, anew=anew)

    def _keep(self, flight: Flight, answer: Answer) -> None:
        self.kept.append((flight, answer))

    def _opener(self, panel: str) -> Begin:
        return lambda fill, context: Flight(panel, fill, context, self.abandoned.append)


def test_the_same_question_is_asked_once() -> None:
    """Same panel and user: one flight, all hear of its landing, and what it brings is kept once; others have their
    own."""
    flights = Airport()
    flight = flights.to("user", "1")
    assert flights.to("user", "1") is flight
    assert flights.to("user", "2") is not flight
    assert flights.to("orders", "1") is not flight
    both = Passenger(), Passenger()
    for passenger in both:
        flight.join(passenger, 0)
    flight.land(GOOD)
    assert [passenger.heard for passenger in both] == [[("user", GOOD)]] * 2
    assert flights.to("user", "1") is not flight
    assert flights.kept == [(flight, GOOD)]


def test_nobody_joins_what_left_before_a_change() -> None:
    """After a change of a panel, or of all, the next to ask gets a new flight; those aboard still arrive."""
    flights = Airport()
    aboard = Passenger()
    user, orders, foreign = flights.to("user", "1"), flights.to("orders", "1"), flights.to("user", "2")
    user.join(aboard, 0)
    flights.drop("1", ["user"])
    renewed = flights.to("user", "1")
    assert renewed is not user
    assert flights.to("orders", "1") is orders
    user.land(GOOD)
    assert aboard.heard == [("user", GOOD)]
    assert flights.to("user", "1") is renewed
    flights.drop("1")
    assert flights.to("orders", "1") is not orders
    assert flights.to("user", "2") is foreign


def test_who_wants_it_anew_joins_nobody() -> None:
    """Others may join the newer flight."""
    flights = Airport()
    old = flights.to("user", "1")
    new = flights.to("user", "1", anew=True)
    assert new is not old
    assert flights.to("user", "1") is new


def test_the_last_to_leave_abandons_the_flight() -> None:
    """Before that it goes on, until the latest deadline of all who joined, and who left hears nothing."""
    airport = Airport()
    flight = airport.to("user", "1")
    patient, hasty = Passenger(), Passenger()
    flight.join(hasty, 10**9)
    flight.join(patient, 10**9 + 1)
    assert flight.deadline == 10**9 + 1
    flight.leave(hasty)
    assert not airport.abandoned
    flight.leave(patient)
    assert airport.abandoned == [flight]
    flight.land(GOOD)
    assert not hasty.heard
    assert not patient.heard


def test_nobody_joins_a_flight_that_would_end_too_soon() -> None:
    """Who waits longer than those for whom it left begins another, and so does who comes when its time is over."""
    airport = Airport()
    hasty = airport.to("user", "1", patience_s=0.1)
    assert airport.to("user", "1", patience_s=0.3) is hasty  # it has not left yet
    hasty.told = time.monotonic() + 60
    assert airport.to("user", "1", patience_s=0.3) is hasty
    patient = airport.to("user", "1", patience_s=0.8)
    assert patient is not hasty
    assert airport.to("user", "1", patience_s=0.1) is patient
    patient.told = time.monotonic() - 1
    assert airport.to("user", "1", patience_s=0.1) is not patient


def test_nobody_joins_what_left_before_a_change_of_anything() -> None:
    """Of no user and no panel."""
    airport = Airport()
    before = [airport.to(panel, user) for panel in ("user", "orders") for user in ("1", "2")]
    airport.drop_all()
    after = [airport.to(panel, user) for panel in ("user", "orders") for user in ("1", "2")]
    assert not set(before) & set(after)
