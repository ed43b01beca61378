"""Who joins whom, and what a change does to it."""

from collections.abc import Mapping

import pytest

from services.gateway.panels import Panel
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.single_flight import InFlightRead, ReadMark, SingleFlight
from shared.observability.telemetry import Origin, Trace
from tests.support.gateway.declared import PANELS
from tests.support.gateway.simulated_service import SimulatedUpstream, calls_to
from tests.support.virtual import Clock

FOUR = USER, ORDERS, NOTIFICATIONS, ANALYTICS = PANELS[:4]
GOOD = Answer(b"{}")
ORIGIN = Origin("request", Trace("1" * 32, "2" * 16))
NOW = 1000.0


class Passenger:
    def __init__(self, budget_s: float = 1.0, began: float = NOW) -> None:
        self.began = began
        self.ends = began + budget_s
        self.heard: list[tuple[str, Answer]] = []

    def arrived(self, _read: InFlightRead, answers: Mapping[str, Answer]) -> None:
        self.heard += answers.items()


class Service:
    """Is told which panels it is to read."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._calls = calls_to(SimulatedUpstream(service=name), clock)
        self.added: list[tuple[InFlightRead, tuple[Panel, ...]]] = []
        self.abandoned: list[InFlightRead] = []
        self.is_suspended = False

    def add(self, read: InFlightRead, panels: tuple[Panel, ...]) -> None:
        self.added.append((read, panels))

    def abandon(self, read: InFlightRead) -> None:
        self.abandoned.append(read)

    def leaves(self, read: InFlightRead, budget_s: float) -> None:
        """A call is under way, for which the service was given so much time."""
        now = self._calls.clock()
        read.sent[self._name] = now, now + budget_s


class Airport:
    """Reads that may be joined; keeps what they brought."""

    def __init__(self) -> None:
        self.now = NOW
        self.kept: list[dict[str, Answer]] = []
        self.services = {name: Service(name, self.clock) for name in ("users", "orders", "worker")}
        self.flights = SingleFlight(self.services, lambda read: self.kept.append(dict(read.answers)), self.clock)

    def clock(self) -> float:
        return self.now

    def reads(
        self, user_id: str, *panels: Panel, budget_s: float = 1.0, no_cache: bool = False
    ) -> dict[str, InFlightRead]:
        return self.flights.reads(panels, ReadMark(user_id, self.now, 0), budget_s, ORIGIN, no_cache=no_cache)

    def read(self, user_id: str, panel: Panel, *, budget_s: float = 1.0, no_cache: bool = False) -> InFlightRead:
        return self.reads(user_id, panel, budget_s=budget_s, no_cache=no_cache)[panel.name]


@pytest.fixture
def airport() -> Airport:
    return Airport()


def test_one_read_asks_each_service_once(airport: Airport) -> None:
    """For all of its panels."""
    reads = airport.reads("1", *FOUR)
    [read] = {*reads.values()}
    assert list(reads) == [panel.name for panel in FOUR]
    assert {name: service.added for name, service in airport.services.items()} == {
        "users": [(read, (USER,))],
        "orders": [(read, (ORDERS,))],
        "worker": [(read, (NOTIFICATIONS, ANALYTICS))],
    }
    assert (read.user_id, read.origin, len(airport.flights)) == ("1", ORIGIN, 4)


def test_the_same_question_is_asked_once(airport: Airport) -> None:
    """Same panel and user: one read, all hear of what arrives, and it is kept once; others have their own."""
    read = airport.read("1", USER)
    assert airport.read("1", USER) is read
    assert airport.read("2", USER) is not read
    assert airport.read("1", ORDERS) is not read
    both = Passenger(), Passenger()
    for passenger in both:
        read.join(passenger)
    read.resolve({"user": GOOD})
    assert [passenger.heard for passenger in both] == [[("user", GOOD)]] * 2
    assert airport.read("1", USER) is not read
    assert airport.kept == [{"user": GOOD}]


def test_who_wants_more_panels_joins_for_those_that_are_on_their_way(airport: Airport) -> None:
    """And begins a read for the others alone."""
    known = airport.read("1", ORDERS)
    reads = airport.reads("1", *FOUR)
    assert reads["orders"] is known
    [new] = {reads["user"], reads["notifications"], reads["analytics"]}
    assert new.panels == (USER, NOTIFICATIONS, ANALYTICS)
    assert airport.reads("1", *FOUR) == reads
    assert len(airport.services["orders"].added) == 1


def test_a_suspended_service_is_not_waited_for(airport: Airport) -> None:
    """A read that was sent before calls were suspended is not joined: a new one fails at once. What has arrived of it
    is still used, and so is a read that has not been sent."""
    orders, worker = airport.services["orders"], airport.services["worker"]
    [old] = {*airport.reads("1", ORDERS, NOTIFICATIONS).values()}
    waiting = airport.read("2", ORDERS)
    for service in (orders, worker):
        service.leaves(old, 1.0)
        service.is_suspended = True
    old.resolve({"notifications": GOOD})
    assert airport.read("1", ORDERS) is not old
    assert airport.read("1", NOTIFICATIONS) is old
    assert airport.read("2", ORDERS) is waiting


def test_each_service_is_told_of_as_it_answers(airport: Airport) -> None:
    """The read may be joined until all has arrived, and all of it is kept together."""
    [read] = {*airport.reads("1", USER, ORDERS).values()}
    passenger = Passenger()
    read.join(passenger)
    read.resolve({"user": GOOD})
    assert passenger.heard == [("user", GOOD)]
    assert airport.kept == []
    read.resolve({"orders": GOOD})
    assert passenger.heard == [("user", GOOD), ("orders", GOOD)]
    assert airport.kept == [{"user": GOOD, "orders": GOOD}]
    assert len(airport.flights) == 0


def test_nobody_joins_what_left_before_a_change(airport: Airport) -> None:
    """After a change of a panel, or of all, the next to ask gets a new read; those who had joined still hear."""
    [old] = {*airport.reads("1", USER, ORDERS).values()}
    foreign = airport.read("2", USER)
    passenger = Passenger()
    old.join(passenger)
    airport.flights.drop("1", ["user"])
    renewed = airport.read("1", USER)
    assert renewed is not old
    assert airport.read("1", ORDERS) is old
    old.resolve({"user": GOOD})
    assert passenger.heard == [("user", GOOD)]
    assert airport.read("1", USER) is renewed
    airport.flights.drop("1")
    assert airport.read("1", ORDERS) is not old
    assert airport.read("2", USER) is foreign
    airport.flights.drop("nobody")


def test_nobody_joins_what_left_before_a_change_of_anything(airport: Airport) -> None:
    """Of no user and no panel."""
    before = [airport.read(user, panel) for panel in FOUR for user in ("1", "2")]
    airport.flights.drop_all()
    assert len(airport.flights) == 0
    after = [airport.read(user, panel) for panel in FOUR for user in ("1", "2")]
    assert not set(before) & set(after)


def test_who_wants_it_anew_joins_nothing_that_has_left(airport: Airport) -> None:
    """Others may join the newer read."""
    old = airport.read("1", ORDERS)
    airport.services["orders"].leaves(old, 1.0)
    new = airport.read("1", ORDERS, no_cache=True)
    assert new is not old
    assert airport.read("1", ORDERS) is new


def test_who_wants_it_anew_joins_what_has_not_left(airport: Airport) -> None:
    """It asks after this call in any case."""
    waiting = airport.read("1", ORDERS)
    assert airport.read("1", ORDERS, no_cache=True) is waiting


def test_what_lands_late_closes_no_newer_read(airport: Airport) -> None:
    """And is kept all the same: whether it is out of date is for others to say."""
    old = airport.read("1", USER)
    airport.services["users"].leaves(old, 1.0)
    new = airport.read("1", USER, no_cache=True)
    old.resolve({"user": GOOD})
    assert airport.read("1", USER) is new
    assert len(airport.kept) == 1


def test_the_last_to_leave_abandons_the_read(airport: Airport) -> None:
    """Before that it goes on; all of its services are told, who left hears nothing, and nobody joins it."""
    [read] = {*airport.reads("1", USER, ORDERS).values()}
    patient, hasty = Passenger(), Passenger()
    read.join(hasty)
    read.join(patient)
    read.leave(hasty)
    read.leave(hasty)
    assert airport.services["users"].abandoned == []
    read.leave(patient)
    assert airport.services["users"].abandoned == airport.services["orders"].abandoned == [read]
    assert airport.services["worker"].abandoned == []
    assert airport.read("1", USER) is not read
    read.resolve({"user": GOOD})
    assert not hasty.heard
    assert not patient.heard


def test_an_abandoned_read_keeps_what_has_arrived(airport: Airport) -> None:
    """What comes later, since its call brings something else as well, is kept by itself: nothing is kept twice."""
    [read] = {*airport.reads("1", USER, ORDERS).values()}
    passenger = Passenger()
    read.join(passenger)
    read.resolve({"user": GOOD})
    read.leave(passenger)
    assert airport.kept == [{"user": GOOD}]
    read.resolve({"orders": GOOD})
    assert airport.kept == [{"user": GOOD}, {"orders": GOOD}]


def test_an_abandoned_read_without_answers_keeps_nothing(airport: Airport) -> None:
    read, passenger = airport.read("1", USER), Passenger()
    read.join(passenger)
    read.leave(passenger)
    assert airport.kept == []


def test_nobody_joins_a_read_that_would_end_too_soon(airport: Airport) -> None:
    """Who waits longer than those for whom it left begins another, and so does who comes when its time is over."""
    hasty = airport.read("1", ORDERS, budget_s=0.1)
    hasty.join(Passenger(0.1))
    patient = airport.read("1", ORDERS, budget_s=0.3)
    assert patient is hasty, "it has not left yet"
    hasty.join(Passenger(0.3))
    airport.services["orders"].leaves(hasty, 0.3)
    assert airport.read("1", ORDERS, budget_s=0.3) is hasty
    patient = airport.read("1", ORDERS, budget_s=0.8)
    assert patient is not hasty
    patient.join(Passenger(0.8))
    airport.services["orders"].leaves(patient, 0.8)
    assert airport.read("1", ORDERS, budget_s=0.1) is patient
    assert airport.read("1", ORDERS, budget_s=60) is patient, "the panel takes no longer"
    airport.now += 0.81
    assert airport.read("1", ORDERS, budget_s=0.1) is not patient


def test_a_read_is_waited_for_as_long_as_by_any_who_joined() -> None:
    """Until their budget or the panel's timeout is over."""
    airport = Airport()
    one = airport.read("1", ORDERS)
    one.join(Passenger(0.3))
    assert one.deadline(0.8) == NOW + 0.3
    one.join(Passenger(5, began=NOW + 0.1))
    assert one.deadline(0.8) == NOW + 0.1 + 0.8


def test_who_joins_twice_is_told_once() -> None:
    """And has left when they leave once."""
    airport = Airport()
    read, passenger = airport.read("1", USER), Passenger()
    read.join(passenger)
    read.join(passenger)
    read.resolve({"user": GOOD})
    assert passenger.heard == [("user", GOOD)]
