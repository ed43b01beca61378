"""Calls to one service: what is tried again, what is measured, who is told what. On a clock of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.panels import Panel
from services.gateway.upstream.circuit_breaker import State
from services.gateway.upstream.errors import (
    BadAnswer,
    CircuitOpen,
    NotTrusted,
    Overloaded,
    Refused,
    TooLate,
    Unreachable,
    UpstreamFailed,
)
from services.gateway.upstream.hedging import Hedge
from services.gateway.upstream.resilience import Answers, Call
from services.gateway.upstream.timers import GRAIN_S
from shared.observability.telemetry import SAMPLED, Origin, Trace
from tests.support.gateway.declared import PANELS
from tests.support.gateway.simulated_service import Behaviour, Exchange, SimulatedUpstream, calls_to, hang
from tests.support.metrics import sample
from tests.support.spans import recorded_here
from tests.support.virtual import Clock, pass_time, run_virtually

USER, ORDERS, NOTIFICATIONS, ANALYTICS, *_ = PANELS
WAIT_S = ORDERS.timeout_s
SLOW_S = WAIT_S * 0.75
USUAL_S = 0.2
ORIGIN = Origin("request", Trace("1" * 32, "2" * 16))
GENEROUS: dict[str, Any] = {"retry_share": 1, "breaker_min_calls": 10**6, "batch_patience_s": 60}


class Owner:
    """Has a call made; keeps what it is told."""

    def __init__(self, world: "World", wait_s: float = WAIT_S) -> None:
        self._clock = world.clock
        self.until = world.clock() + wait_s
        self.answers: Answers | None = None
        self.failure: UpstreamFailed | None = None
        self.ended_at: list[float] = []
        self.passed_at: list[float] = []

    def deadline(self, _call: Call) -> float:
        return self.until

    def let_pass(self, _call: Call) -> None:
        self.passed_at.append(self._clock())

    def ended(self, _call: Call, answers: Answers | None, failure: UpstreamFailed | None) -> None:
        self.ended_at.append(self._clock())
        self.answers, self.failure = answers, failure


class World:
    """One service, and calls to it."""

    def __init__(self, clock: Clock, behaviour: Behaviour, replicas: int, told: dict[str, Any]) -> None:
        self.clock = clock
        self.upstream = SimulatedUpstream(behaviour, replicas=replicas)
        self.service = calls_to(self.upstream, clock, **{**GENEROUS, **told})
        self.policies = self.service.policies

    @property
    def exchanges(self) -> list[Exchange]:
        return self.upstream.exchanges

    def state(self) -> State:
        return self.policies.breaker.state

    @property
    def p95(self) -> float:
        return self.policies.hedge((ORDERS,)).p95

    def begin(
        self, wait_s: float = WAIT_S, panels: tuple[Panel, ...] = (ORDERS,), origin: Origin = ORIGIN
    ) -> tuple[Call, Owner]:
        owner = Owner(self, wait_s)
        call = Call(self.service, panels, ["1", "2"], self.clock() + wait_s, origin, owner)
        call.start()
        return call, owner

    async def ask(self, wait_s: float = WAIT_S) -> Owner:
        """A call that has ended."""
        _, owner = self.begin(wait_s)
        await pass_time(wait_s + 3 * GRAIN_S)
        assert len(owner.ended_at) == 1
        return owner

    async def learn(self, seconds: float = USUAL_S, times: int = Hedge.REMEMBERED) -> None:
        """Let so many calls take that long."""
        before, self.upstream.behaviour = self.upstream.behaviour, partial(after, seconds)
        for _ in range(times):
            self.begin()
            await pass_time(seconds)
        self.upstream.behaviour = before
        self.exchanges.clear()

    def check_that_nothing_is_left(self) -> None:
        assert not self.upstream.open
        assert sample("gateway_calls_in_flight", {"service": "example"}) == 0
        assert len(self.service.timers) == 0


def after(seconds: float, exchange: Exchange) -> None:
    exchange.after(seconds, exchange.answer)


def failing(failure: UpstreamFailed, seconds: float = 0) -> Behaviour:
    return lambda exchange: exchange.after(seconds, exchange.fail, failure)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Each exchange behaves as the next of these."""
    left = iter(behaviours)
    return lambda exchange: next(left)(exchange)


Work = Callable[[World], Awaitable[None]]


def in_a_world(work: Work, behaviour: Behaviour = hang, replicas: int = 1, **told: Any) -> None:
    async def run(clock: Clock) -> None:
        world = World(clock, behaviour, replicas, told)
        await work(world)
        world.service.close()
        world.upstream.close()
        world.check_that_nothing_is_left()

    run_virtually(run)


def attempts(why: str) -> float:
    told = {"service": "example", "why": why}
    return sample("gateway_second_attempts_total", told) or 0


def measured() -> float:
    """How many calls for orders; as many batches."""
    names = ("gateway_panel_seconds_count", "gateway_batch_size_count")
    calls, batches = (sample(name, {"panel": "orders"}) or 0 for name in names)
    assert calls == batches
    return calls


# Second attempts.


def test_a_quick_answer_needs_no_second_attempt() -> None:
    """One exchange: it is told what is asked, for whom, and how long anybody waits."""

    async def work(world: World) -> None:
        await world.learn()
        owner = await world.ask()
        assert owner.answers is not None
        assert [answer.data for answer in owner.answers["orders"]] == [b"[null]", b"[null]"]
        [exchange] = world.exchanges
        assert (exchange.panels, exchange.user_ids, exchange.origin) == (["orders"], ["1", "2"], ORIGIN)
        assert exchange.told_s == pytest.approx(WAIT_S)

    in_a_world(work, partial(after, 0.1))


@pytest.mark.parametrize("winner", [0, 1])
def test_the_quicker_of_two_wins(winner: int) -> None:
    """After most calls of before would have ended a second attempt starts; the first answer counts, and the other
    attempt is cancelled."""

    async def work(world: World) -> None:
        await world.learn()
        before, began = attempts("slow"), world.clock()
        owner = await world.ask()
        assert [exchange.is_cancelled for exchange in world.exchanges] == [winner == 1, winner == 0]
        assert owner.ended_at == [pytest.approx(began + 0.4, abs=GRAIN_S)]
        assert owner.failure is None
        assert attempts("slow") == before + 1

    times = (0.4, 0.4) if winner == 0 else (0.7, 0.2)
    in_a_world(work, in_turn(*(partial(after, seconds) for seconds in times)))


def test_no_third_attempt() -> None:
    """However long the second takes after the first has failed."""

    async def work(world: World) -> None:
        await world.learn()
        owner = await world.ask()
        assert len(world.exchanges) == 2
        assert isinstance(owner.failure, TooLate)

    in_a_world(work, in_turn(failing(BadAnswer("first"), 0.3), hang))


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_failure_is_tried_again_at_once(known: bool) -> None:
    """Whether or not it is known how long calls take."""

    async def work(world: World) -> None:
        if known:
            await world.learn()
        before, began = attempts("failure"), world.clock()
        owner = await world.ask()
        assert owner.failure is None
        assert owner.ended_at == [pytest.approx(began + 0.1, abs=GRAIN_S)]
        assert attempts("failure") == before + 1

    in_a_world(work, in_turn(failing(BadAnswer("first")), partial(after, 0.1)))


def test_what_is_no_answer_is_tried_again() -> None:
    """Though the service has answered with a 200."""

    async def work(world: World) -> None:
        owner = await world.ask()
        assert owner.answers is not None

    in_a_world(work, in_turn(lambda exchange: exchange.receive(b'{"panels": []}'), partial(after, 0)))


@pytest.mark.parametrize("seconds", [(0.3, 0.4), (0.5, 0.05)], ids=["first is first", "first is last"])
def test_the_first_failure_is_told_when_both_fail(seconds: tuple[float, float]) -> None:
    """The second attempt's is not, whichever came first."""

    async def work(world: World) -> None:
        await world.learn()
        owner = await world.ask()
        assert str(owner.failure) == "first"

    first, second = seconds
    in_a_world(work, in_turn(failing(BadAnswer("first"), first), failing(BadAnswer("second"), second)))


@pytest.mark.parametrize("failure", [Refused("status 404"), NotTrusted("status 401"), Unreachable("no")], ids=repr)
def test_what_would_end_the_same_way_is_not_repeated(failure: UpstreamFailed) -> None:
    """Nor what was not asked at all."""

    async def work(world: World) -> None:
        owner = await world.ask()
        assert owner.failure is failure
        assert len(world.exchanges) == 1

    in_a_world(work, failing(failure))


def test_second_attempts_are_a_part_of_all() -> None:
    """Of so many failures only that part is tried again."""

    async def work(world: World) -> None:
        for _ in range(100):
            await world.ask()
        assert 105 <= len(world.exchanges) <= 112

    in_a_world(work, failing(BadAnswer("x")), retry_share=0.1)


def test_without_room_there_is_no_second_attempt() -> None:
    """The bulkhead has one slot, which the first attempt holds."""

    async def work(world: World) -> None:
        await world.learn()
        owner = await world.ask()
        assert len(world.exchanges) == 1
        assert owner.failure is None

    in_a_world(work, partial(after, 0.5), bulkhead_calls=1)


def test_giving_up_cancels_both() -> None:
    """Nothing goes on for nobody, and nobody is told."""

    async def work(world: World) -> None:
        await world.learn()
        call, owner = world.begin()
        await pass_time(0.3)
        assert len(world.upstream.open) == 2
        call.cancel()
        assert all(exchange.is_cancelled for exchange in world.exchanges)
        await pass_time(5)
        assert owner.ended_at == []
        call.cancel()

    in_a_world(work)


# Deadlines.


def test_a_call_ends_when_nobody_waits_any_longer() -> None:
    """And its exchange is cancelled."""

    async def work(world: World) -> None:
        began = world.clock()
        owner = await world.ask(0.3)
        assert isinstance(owner.failure, TooLate)
        assert owner.ended_at == [pytest.approx(began + 0.3, abs=2 * GRAIN_S)]
        assert world.exchanges[0].is_cancelled

    in_a_world(work)


def test_who_joins_extends_it() -> None:
    """It goes on until the latest deadline by then; an answer that comes later than the service was told counts."""

    async def work(world: World) -> None:
        _, owner = world.begin(0.3)
        owner.until += 1
        await pass_time(1.2)
        assert owner.ended_at == []
        world.exchanges[0].answer()
        assert owner.answers is not None

    in_a_world(work)


def test_a_call_that_takes_long_lets_the_next_pass() -> None:
    """Once, after the patience is over; a quick one does not."""

    async def work(world: World) -> None:
        quick = world.begin()[1]
        world.exchanges[0].answer()
        began = world.clock()
        slow = await world.ask()
        assert quick.passed_at == []
        assert slow.passed_at == [pytest.approx(began + 0.1, abs=GRAIN_S)]

    in_a_world(work, batch_patience_s=0.1)


# What breaker and metrics are told.


@pytest.mark.parametrize("failure", [Overloaded(), CircuitOpen(), Unreachable("refused")], ids=repr)
def test_what_was_not_sent_is_not_measured(failure: UpstreamFailed) -> None:
    """However often: neither the histograms nor the time of a second attempt know of it."""

    async def work(world: World) -> None:
        await world.learn()
        before = measured()
        for _ in range(100):
            await world.ask()
        assert measured() == before
        assert world.p95 == pytest.approx(USUAL_S)

    in_a_world(work, failing(failure))


@pytest.mark.parametrize("failure", [BadAnswer("half"), Refused("status 404")], ids=repr)
def test_a_failure_is_measured_and_says_nothing_of_answers(failure: UpstreamFailed) -> None:
    """It took place; how long answers take is not known from it."""

    async def work(world: World) -> None:
        await world.learn()
        before = measured()
        for _ in range(100):
            await world.ask()
        assert measured() == before + 100
        assert world.p95 == pytest.approx(USUAL_S)

    in_a_world(work, failing(failure), retry_share=0)


def test_what_is_broken_off_counts_as_far_as_it_took_long() -> None:
    """Callers who give up after 10 ms do not make a service of 200 ms fast; one that hangs is seen to be slow."""

    async def work(world: World) -> None:
        await world.learn()
        before = measured()
        for _ in range(100):
            await world.ask(0.01)
        assert measured() == before
        assert world.p95 == pytest.approx(USUAL_S)
        for _ in range(100):
            await world.ask(0.7)
        assert measured() == before + 100
        assert world.p95 == pytest.approx(0.7, abs=2 * GRAIN_S)

    in_a_world(work, retry_share=0)


def test_each_panel_of_a_call_is_measured() -> None:
    """One exchange for two panels of two users."""

    async def work(world: World) -> None:
        def sums() -> list[float]:
            names = ("notifications", "analytics")
            return [sample("gateway_batch_size_sum", {"panel": name}) or 0 for name in names]

        before = sums()
        owner = world.begin(panels=(NOTIFICATIONS, ANALYTICS))[1]
        await pass_time(0.1)
        assert owner.answers is not None
        assert owner.answers.keys() == {"notifications", "analytics"}
        assert sums() == [each + 2 for each in before]

    in_a_world(work, partial(after, 0.05))


def test_one_that_is_slow_counts_as_failed_before_it_ends() -> None:
    """And an answer does not make good for it."""

    async def work(world: World) -> None:
        begun = [world.begin() for _ in range(4)]
        await pass_time(SLOW_S - 2 * GRAIN_S)
        assert world.state() is State.CLOSED
        await pass_time(4 * GRAIN_S)
        assert world.state() is State.OPEN
        for exchange in world.exchanges:
            exchange.answer()
        assert all(owner.answers is not None for _, owner in begun)
        assert world.state() is State.OPEN

    in_a_world(work, breaker_min_calls=4)


@pytest.mark.parametrize(
    ("failure", "state"),
    [(BadAnswer("x"), State.OPEN), (Unreachable("x"), State.OPEN), (Refused("x"), State.CLOSED)],
    ids=["bad answer", "unreachable", "refused"],
)
def test_a_service_that_refuses_is_well(failure: UpstreamFailed, state: State) -> None:
    """One that cannot be reached or answers badly is not."""

    async def work(world: World) -> None:
        for _ in range(4):
            await world.ask(0.01)
        assert world.state() is state

    in_a_world(work, failing(failure), breaker_min_calls=4, breaker_open_s=60, retry_share=0)


def test_nobody_is_let_through_while_the_breaker_is_open() -> None:
    """The caller is told before the call has begun to wait."""

    async def work(world: World) -> None:
        for _ in range(4):
            await world.ask(0.01)
        asked = len(world.exchanges)
        owner = world.begin()[1]
        assert isinstance(owner.failure, CircuitOpen)
        assert len(world.exchanges) == asked

    in_a_world(work, failing(BadAnswer("x")), breaker_min_calls=4, breaker_open_s=60, retry_share=0)


def test_one_too_many_is_refused_and_tells_nothing_of_the_service() -> None:
    """However many; those under way go on."""

    async def work(world: World) -> None:
        first = world.begin()[1]
        for _ in range(20):
            owner = world.begin()[1]
            assert isinstance(owner.failure, Overloaded)
        assert world.state() is State.CLOSED
        world.exchanges[0].answer()
        assert first.answers is not None

    in_a_world(work, bulkhead_calls=1, breaker_min_calls=4)


def test_what_is_cancelled_tells_nothing_of_the_service() -> None:
    """Unless it was slow by then."""

    async def work(world: World) -> None:
        for _ in range(20):
            world.begin()[0].cancel()
        assert world.state() is State.CLOSED
        for _ in range(4):
            call, _ = world.begin()
            await pass_time(SLOW_S + GRAIN_S)
            call.cancel()
        assert world.state() is State.OPEN

    in_a_world(work, breaker_min_calls=4, breaker_open_s=60)


def test_a_service_that_does_not_trust_the_gateway_is_counted() -> None:
    """It is the gateway's fault, and no client's."""

    async def work(world: World) -> None:
        before = sample("gateway_not_trusted_total", {"service": "example"}) or 0
        owner = await world.ask()
        assert isinstance(owner.failure, NotTrusted)
        assert sample("gateway_not_trusted_total", {"service": "example"}) == before + 1

    in_a_world(work, failing(NotTrusted("status 401")))


# Replicas.


def test_calls_take_turns() -> None:
    """Each goes to the next replica."""

    async def work(world: World) -> None:
        for _ in range(6):
            await world.ask(0.01)
        assert [exchange.replica for exchange in world.exchanges] == [1, 2, 0, 1, 2, 0]

    in_a_world(work, partial(after, 0), replicas=3)


def test_one_that_cannot_be_reached_is_passed_over() -> None:
    """Within the same attempt; it is left out from then on."""

    async def work(world: World) -> None:
        def behave(exchange: Exchange) -> None:
            failing(Unreachable("down"))(exchange) if exchange.replica == 1 else after(0, exchange)

        world.upstream.behaviour = behave
        world.upstream.dead = {1}
        for _ in range(4):
            assert (await world.ask(0.01)).failure is None
        assert [exchange.replica for exchange in world.exchanges] == [1, 2, 2, 0, 2]
        assert measured() == before + 4

    before = measured()
    in_a_world(work, replicas=3, retry_share=0)


def test_the_next_replica_is_told_what_time_is_left() -> None:
    """The first took half a second to be unreachable."""

    async def work(world: World) -> None:
        await world.ask(0.8)
        assert [exchange.told_s for exchange in world.exchanges] == pytest.approx([0.8, 0.3])

    in_a_world(work, in_turn(failing(Unreachable("no connection in time"), 0.5), partial(after, 0.1)), replicas=2)


def test_where_none_can_be_reached_that_is_told() -> None:
    """After all were tried, each once."""

    async def work(world: World) -> None:
        owner = await world.ask()
        assert isinstance(owner.failure, Unreachable)
        assert sorted(exchange.replica for exchange in world.exchanges) == [0, 1, 2]

    in_a_world(work, failing(Unreachable("down")), replicas=3)


def test_a_second_attempt_goes_to_another_replica() -> None:
    """And is told the time that is left."""

    async def work(world: World) -> None:
        await world.ask()
        assert [exchange.replica for exchange in world.exchanges] == [1, 0]
        assert [exchange.told_s for exchange in world.exchanges] == pytest.approx([WAIT_S, WAIT_S - 0.3])

    in_a_world(work, in_turn(failing(BadAnswer("x"), 0.3), partial(after, 0)), replicas=2)


@pytest.mark.parametrize("dead", [True, False], ids=["dead", "slow"])
def test_one_that_is_silent_is_left_out_when_it_is_dead(dead: bool) -> None:
    """Before the call that waits for it has ended; not when it is merely slow."""

    async def work(world: World) -> None:
        world.upstream.dead = {1} if dead else set()
        call, _ = world.begin()
        await pass_time(0.6)
        chosen = {world.upstream.replicas.next() for _ in range(4)}
        assert chosen == ({0} if dead else {0, 1})
        call.cancel()

    in_a_world(work, replicas=2)


# Spans.


def test_each_attempt_has_a_span() -> None:
    """Below where the call began: what was asked for, and what came of it. The service sees its attempt as the
    parent."""

    async def work(world: World) -> None:
        with recorded_here() as spans:
            owner = world.begin(origin=Origin("request", Trace("1" * 32, "2" * 16, SAMPLED)))[1]
            await pass_time(0.1)
        assert owner.answers is not None
        first, second = spans.all_named("POST /internal/panels")
        assert (first.error, second.error) == ("BadAnswer", None)
        assert first.attributes == {
            "peer.service": "example",
            "dashboard.call.panels": "orders",
            "dashboard.call.users": 2,
            "dashboard.call.attempt": 1,
            "error.type": "BadAnswer",
        }
        assert second.attributes["dashboard.call.attempt"] == 2
        assert {first.parent_id, second.parent_id} == {"2" * 16}
        assert [exchange.origin.trace for exchange in world.exchanges] == [first.trace, second.trace]

    in_a_world(work, in_turn(failing(BadAnswer("x")), partial(after, 0)))


# Whatever happens.

BEHAVIOURS = st.builds(partial, st.just(after), st.floats(0, 1.5)) | st.builds(
    failing,
    st.sampled_from([BadAnswer("x"), Refused("x"), NotTrusted("x"), Unreachable("x")]),
    st.floats(0, 1.5),
)
STEPS = st.lists(st.tuples(st.floats(0, 0.5), st.floats(0.01, 1), st.none() | st.floats(0, 1)), min_size=1, max_size=20)


@given(
    STEPS,
    st.lists(BEHAVIOURS, min_size=1, max_size=10),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from([1, 3, 1000]),
)
@settings(max_examples=50, deadline=None)
def test_every_call_ends_once(
    steps: list[tuple[float, float, float | None]],
    behaviours: list[Behaviour],
    replicas: int,
    retry_share: float,
    min_calls: int,
) -> None:
    """By its deadline, or when it is cancelled; and what it held is given back."""

    async def work(world: World) -> None:
        numbers = iter(range(10**6))
        world.upstream.behaviour = lambda exchange: behaviours[next(numbers) % len(behaviours)](exchange)
        begun: list[tuple[Owner, float | None]] = []
        for pause_s, wait_s, cancel_s in steps:
            await pass_time(pause_s)
            call, owner = world.begin(wait_s)
            begun.append((owner, cancel_s))
            if cancel_s is not None:
                asyncio.get_running_loop().call_later(cancel_s, call.cancel)
        await pass_time(3)
        for owner, cancel_s in begun:
            assert len(owner.ended_at) == 1 or (cancel_s is not None and not owner.ended_at)
            assert all(at <= owner.until + 2 * GRAIN_S for at in owner.ended_at)
        world.service.close()
        await pass_time(3)

    in_a_world(work, replicas=replicas, retry_share=retry_share, breaker_min_calls=min_calls, bulkhead_calls=3)
