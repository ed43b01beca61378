"""What leaves together, what waits, and for whom a call goes on. On a clock of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from services.gateway.panels import Panel
from services.gateway.upstream.batching import Batcher
from services.gateway.upstream.errors import BadAnswer, ErrorCode, Refused, UpstreamFailed
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.single_flight import InFlightRead, ReadMark, SingleFlight
from shared.contracts.panels import MAX_IDS
from shared.observability.telemetry import SAMPLED, Origin, Trace
from tests.support.gateway.declared import PANELS
from tests.support.gateway.simulated_service import SimulatedUpstream, calls_to
from tests.support.virtual import Clock, pass_time, run_virtually

NOTIFICATIONS, ANALYTICS = PANELS[2:4]
LIST, OBJECT, BOTH = (NOTIFICATIONS,), (ANALYTICS,), (NOTIFICATIONS, ANALYTICS)
WAIT_S = NOTIFICATIONS.timeout_s
SETTINGS: dict[str, Any] = {
    "retry_share": 0,
    "breaker_min_calls": 10**6,
    "bulkhead_calls": 1000,
    "batch_patience_s": 60,
}


class Passenger:
    """Waits for a user's panels."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.began = clock()
        self.ends = self.began + seconds
        self.heard: dict[str, Answer] = {}

    @property
    def data(self) -> dict[str, bytes | None]:
        return {panel: answer.data for panel, answer in self.heard.items()}

    @property
    def errors(self) -> dict[str, ErrorCode]:
        return {panel: answer.error for panel, answer in self.heard.items() if answer.is_failure}

    def arrived(self, _read: InFlightRead, answers: Mapping[str, Answer]) -> None:
        self.heard |= answers


class World:
    """The batcher of a service that answers when it is told to; at most two calls hold the next back."""

    def __init__(self, clock: Clock, told: Mapping[str, Any]) -> None:
        self.clock = clock
        self.upstream = SimulatedUpstream(service="worker")
        self.batcher = Batcher(calls_to(self.upstream, clock, **{**SETTINGS, **told}), in_flight=2)
        self.exchanges = self.upstream.exchanges
        self._flights = SingleFlight({"worker": self.batcher}, lambda _: None, clock)

    @property
    def asked(self) -> list[list[str]]:
        """The users of each call."""
        return [exchange.user_ids for exchange in self.exchanges]

    def begin(
        self, user_id: str, seconds: float = WAIT_S, panels: tuple[Panel, ...] = LIST, trace: Trace | None = None
    ) -> tuple[InFlightRead, Passenger]:
        """A read that nobody else has begun, and who waits for it."""
        self._flights.drop_all()
        origin = Origin(f"request of {user_id}", Trace.start())
        [read] = {*self._flights.reads(panels, ReadMark(user_id, 0, 0), seconds, origin).values()}
        if trace:
            read.askers.update({panel.name: trace for panel in panels})
        return read, self.join(read, seconds)

    def join(self, read: InFlightRead, seconds: float) -> Passenger:
        passenger = Passenger(self.clock, seconds)
        read.join(passenger)
        return passenger


def in_a_world(work: Callable[[World], Awaitable[None]], **told: Any) -> None:
    async def run(clock: Clock) -> None:
        world = World(clock, told)
        await work(world)
        assert world.batcher.is_idle
        assert not world.upstream.open

    run_virtually(run)


async def depart() -> None:
    """Let what may leave now do so."""
    await asyncio.sleep(0)


def test_nothing_waits_while_nothing_is_in_flight() -> None:
    """A single question leaves at once, alone; what is asked in the same moment leaves with it."""

    async def work(world: World) -> None:
        world.begin("1")
        await depart()
        assert world.asked == [["1"]]
        world.begin("2")
        world.begin("3")
        await depart()
        assert world.asked == [["1"], ["2", "3"]]
        for exchange in world.exchanges:
            exchange.answer()

    in_a_world(work)


def test_what_gathers_meanwhile_leaves_together() -> None:
    """With two calls in flight others wait; when one ends, they go in one call, and all get their answers."""

    async def work(world: World) -> None:
        passengers = []
        for number in range(10):
            passengers.append(world.begin(str(number))[1])
            await depart()
        assert world.asked == [["0"], ["1"]]
        world.exchanges[1].answer()
        assert world.asked[2:] == [[str(number) for number in range(2, 10)]]
        world.exchanges[0].answer()
        world.exchanges[2].answer()
        assert all(passenger.data == {"notifications": b"[null]"} for passenger in passengers)

    in_a_world(work)


def test_several_panels_go_in_one_call() -> None:
    """Of users who want the same; each gets their own of each."""

    async def work(world: World) -> None:
        passengers = [world.begin(user_id, panels=BOTH)[1] for user_id in ("1", "2")]
        await depart()
        [exchange] = world.exchanges
        assert (exchange.panels, exchange.user_ids) == (["notifications", "analytics"], ["1", "2"])
        exchange.reply(
            {
                "notifications": {"items": {"1": ["of 1"], "2": ["of 2"]}},
                "analytics": {"items": {"1": {"of": 1}, "2": {"of": 2}}},
            }
        )
        assert [passenger.data for passenger in passengers] == [
            {"notifications": b'["of 1"]', "analytics": b'{"of": 1}'},
            {"notifications": b'["of 2"]', "analytics": b'{"of": 2}'},
        ]

    in_a_world(work)


def test_who_wants_other_panels_has_a_call_of_their_own() -> None:
    """It counts as one of those in flight."""

    async def work(world: World) -> None:
        world.begin("1", panels=BOTH)
        world.begin("2", panels=OBJECT)
        world.begin("3", panels=LIST)
        world.begin("4", panels=BOTH)
        await depart()
        assert [(exchange.panels, exchange.user_ids) for exchange in world.exchanges] == [
            (["notifications", "analytics"], ["1", "4"]),
            (["analytics"], ["2"]),
        ]
        world.exchanges[0].answer()
        assert (world.exchanges[2].panels, world.exchanges[2].user_ids) == (["notifications"], ["3"])
        world.exchanges[1].answer()
        world.exchanges[2].answer()

    in_a_world(work)


def test_a_panel_that_failed_costs_the_other_nothing() -> None:
    """Though both came in one answer."""

    async def work(world: World) -> None:
        passenger = world.begin("1", panels=BOTH)[1]
        await depart()
        world.exchanges[0].reply({"notifications": {"error": "internal"}, "analytics": {"items": {"1": {}}}})
        assert passenger.errors == {"notifications": "bad_response"}
        assert passenger.data == {"notifications": None, "analytics": b"{}"}

    in_a_world(work)


def test_no_call_asks_for_more_than_a_service_takes() -> None:
    """The rest goes in the next."""

    async def work(world: World) -> None:
        for number in range(MAX_IDS + 5):
            world.begin(str(number))
        await depart()
        assert [len(ids) for ids in world.asked] == [MAX_IDS, 5]
        for exchange in world.exchanges:
            exchange.answer()

    in_a_world(work)


def test_a_slow_call_holds_nobody_back_for_long() -> None:
    """After the patience is over the next leave, though two calls are still in flight; that lets no more leave when
    these end."""

    async def work(world: World) -> None:
        for number in range(4):
            world.begin(str(number))
            await depart()
        assert len(world.exchanges) == 2
        await pass_time(0.15)
        assert world.asked[2:] == [["2", "3"]]
        world.begin("4")
        await depart()
        world.exchanges[0].answer()
        world.exchanges[1].answer()
        world.begin("5")
        await depart()
        assert world.asked[3:] == [["4"]]
        world.exchanges[2].answer()
        assert world.asked[4:] == [["5"]]
        for exchange in world.upstream.open:
            exchange.answer()

    in_a_world(work, batch_patience_s=0.1)


def test_one_who_leaves_does_not_end_the_call_of_others() -> None:
    """The call goes on until nobody waits for any of its answers, and is cancelled then."""

    async def work(world: World) -> None:
        hasty_read, hasty = world.begin("1")
        patient_read, patient = world.begin("2")
        await depart()
        hasty_read.leave(hasty)
        assert not world.exchanges[0].is_cancelled
        patient_read.leave(patient)
        assert world.exchanges[0].is_cancelled
        assert world.batcher.is_idle
        assert not hasty.heard
        assert not patient.heard

    in_a_world(work)


def test_a_call_that_is_broken_off_lets_the_next_leave() -> None:
    """As one does that has ended."""

    async def work(world: World) -> None:
        reads = []
        for number in range(3):
            reads.append(world.begin(str(number)))
            await depart()
        assert world.asked == [["0"], ["1"]]
        read, passenger = reads[0]
        read.leave(passenger)
        assert world.asked[2:] == [["2"]]
        for exchange in world.upstream.open:
            exchange.answer()

    in_a_world(work)


def test_the_longest_wait_counts() -> None:
    """The service is given as much time as the most patient needs, and no more than the panel may take."""

    async def work(world: World) -> None:
        world.begin("1", 0.1)
        world.begin("2", 0.3)
        await depart()
        world.begin("3", 60)
        await depart()
        assert [exchange.told_s for exchange in world.exchanges] == pytest.approx([0.3, WAIT_S])
        for exchange in world.exchanges:
            exchange.answer()

    in_a_world(work)


def test_who_leaves_before_the_call_is_never_asked_for() -> None:
    """Neither alone nor among others."""

    async def work(world: World) -> None:
        read, passenger = world.begin("1")
        read.leave(passenger)
        assert world.batcher.is_idle
        await depart()
        assert not world.exchanges
        read, passenger = world.begin("2")
        world.begin("3")
        read.leave(passenger)
        await depart()
        assert world.asked == [["3"]]
        world.exchanges[0].answer()

    in_a_world(work)


@pytest.mark.parametrize(("failure", "code"), [(BadAnswer("x"), "bad_response"), (Refused("x"), "bad_response")])
def test_a_failure_is_an_answer(failure: UpstreamFailed, code: ErrorCode) -> None:
    """For each panel of each user; it is told by its code."""

    async def work(world: World) -> None:
        passengers = [world.begin(user_id, panels=BOTH)[1] for user_id in ("1", "2")]
        await depart()
        world.exchanges[0].fail(failure)
        assert all(passenger.errors == dict.fromkeys(("notifications", "analytics"), code) for passenger in passengers)

    in_a_world(work)


def test_a_call_that_does_not_end_is_a_timeout() -> None:
    """For those who still wait then."""

    async def work(world: World) -> None:
        passenger = world.begin("1", 0.1)[1]
        await pass_time(0.2)
        assert passenger.errors == {"notifications": "timeout"}

    in_a_world(work)


def test_a_service_that_must_not_be_asked_is_an_answer_at_once() -> None:
    """However many wait: what is refused holds nobody back."""

    async def work(world: World) -> None:
        passengers = [world.begin(str(number))[1] for number in range(5 * MAX_IDS)]
        await depart()
        assert [len(ids) for ids in world.asked] == [MAX_IDS]
        errors = [passenger.errors.get("notifications") for passenger in passengers]
        assert errors == [None] * MAX_IDS + ["overloaded"] * 4 * MAX_IDS
        world.exchanges[0].answer()

    in_a_world(work, bulkhead_calls=1)


def test_who_joins_a_call_under_way_extends_it() -> None:
    """It goes on until the latest deadline of all who wait by then, though the first to ask had little time."""

    async def work(world: World) -> None:
        read, _ = world.begin("1", 0.3)
        await depart()
        patient = world.join(read, 60)
        await pass_time(WAIT_S - 0.1)
        assert not patient.heard
        world.exchanges[0].answer()
        assert patient.data == {"notifications": b"[null]"}

    in_a_world(work)


@pytest.mark.parametrize("gives_up", ["fails", "says so"])
@pytest.mark.parametrize("at_s", [0.275, 0.3, 0.4], ids=["early", "in time", "late"])
def test_who_joined_is_asked_for_again_where_the_service_gives_up(gives_up: str, at_s: float) -> None:
    """The service has taken all the time that it was given; those who have more get a call of their own."""

    async def work(world: World) -> None:
        read, _ = world.begin("1", 0.3)
        alone = world.begin("2", 0.3)[1]
        await depart()
        patient = world.join(read, 60)
        await pass_time(at_s)
        if gives_up == "fails":
            world.exchanges[0].fail(BadAnswer("out of time"))
        else:
            world.exchanges[0].reply({"notifications": {"error": "timeout"}})
        assert world.asked[1:] == [["1"]]
        assert alone.errors.keys() == {"notifications"}
        assert not patient.heard
        world.exchanges[1].answer()
        assert patient.data == {"notifications": b"[null]"}

    in_a_world(work)


def test_who_joined_is_given_their_own_time_by_the_second_call() -> None:
    """Not that of the one who had begun the read, and had less."""

    async def work(world: World) -> None:
        read, _ = world.begin("1", 0.1)
        await depart()
        patient = world.join(read, 60)
        await pass_time(0.1)
        world.exchanges[0].fail(BadAnswer("out of time"))
        assert world.exchanges[1].told_s >= patient.began + WAIT_S - world.clock() - 0.01
        world.exchanges[1].answer()

    in_a_world(work)


def test_a_service_that_fails_before_its_time_is_over_is_not_asked_again() -> None:
    """Who joined hears of it, too."""

    async def work(world: World) -> None:
        read, _ = world.begin("1", 0.3)
        await depart()
        patient = world.join(read, 60)
        await pass_time(0.2)
        world.exchanges[0].fail(BadAnswer("broken"))
        assert patient.errors == {"notifications": "bad_response"}
        assert len(world.exchanges) == 1

    in_a_world(work)


def test_a_call_belongs_to_the_first_who_asked_and_to_the_first_recorded_trace() -> None:
    """Every panel of its users knows whose call it was."""

    async def work(world: World) -> None:
        position = Trace("1" * 32, "2" * 16, SAMPLED)
        first, _ = world.begin("1")
        second, _ = world.begin("2", trace=position)
        await depart()
        [exchange] = world.exchanges
        assert (exchange.origin.request_id, exchange.origin.trace) == ("request of 1", position)
        assert first.carriers == second.carriers == {"notifications": position}
        exchange.answer()

    in_a_world(work)


def test_without_a_recorded_trace_it_is_in_that_of_the_first() -> None:
    async def work(world: World) -> None:
        first, _ = world.begin("1")
        world.begin("2")
        await depart()
        assert world.exchanges[0].origin == first.origin
        assert not first.carriers
        world.exchanges[0].answer()

    in_a_world(work)
