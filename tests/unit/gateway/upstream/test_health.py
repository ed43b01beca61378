"""Which replica is called, and how a hanging service is probed, on a virtual clock: callers do not wait for probes."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from services.gateway.upstream.errors import BadAnswer, CircuitOpen, UpstreamFailed
from services.gateway.upstream.health import Replicas
from services.gateway.upstream.resilience import Answers, Call
from shared.observability.telemetry import Origin, Trace
from tests.support.gateway.declared import PANELS
from tests.support.gateway.simulated_service import Exchange, SimulatedUpstream, calls_to
from tests.support.virtual import Clock, pass_time, run_virtually

PAUSE_S = Replicas.FIRST_PAUSE_S


class Service:
    """Replicas of which some are dead; keeps how often each was asked whether it is alive."""

    def __init__(self, count: int) -> None:
        self.dead: set[int] = set()
        self.checked: Counter[int] = Counter()
        self.replicas = Replicas("example", count, self._is_alive)

    async def _is_alive(self, replica: int) -> bool:
        self.checked[replica] += 1
        return replica not in self.dead

    def chosen(self, times: int = 12) -> set[int]:
        return {self.replicas.next() for _ in range(times)}

    async def wait_for(self, replica: int, seconds: float) -> None:
        with self.replicas.watched(replica):
            await asyncio.sleep(seconds)


def on_service(count: int, work: Callable[[Service], Awaitable[None]]) -> None:
    async def run(_: object) -> None:
        service = Service(count)
        await work(service)
        service.replicas.close()

    run_virtually(run)


def test_they_take_turns() -> None:
    """And each list has them all."""

    async def work(service: Service) -> None:
        assert [service.replicas.next() for _ in range(4)] == [1, 2, 0, 1]
        assert service.replicas.in_turn() == [2, 0, 1]

    on_service(3, work)


def test_one_that_failed_is_left_out_until_it_says_that_it_is_alive() -> None:
    """For a pause at least; it is asked beside the requests, which go to the others."""

    async def work(service: Service) -> None:
        service.dead = {1}
        service.replicas.failed(1)
        assert service.chosen() == {0, 2}
        assert sorted(service.replicas.beginning_with(1)) == [0, 1, 2]
        assert service.replicas.beginning_with(1)[-1] == 1
        await asyncio.sleep(PAUSE_S * 10)
        assert service.chosen() == {0, 2}
        assert service.checked[1] >= 5
        service.dead.clear()
        await asyncio.sleep(PAUSE_S * 2)
        assert service.chosen() == {0, 1, 2}

    on_service(3, work)


def test_one_that_fails_again_and_again_is_left_out_for_longer() -> None:
    """Though it says that it is alive; an answer makes good for it."""

    async def work(service: Service) -> None:
        async def pause() -> float:
            service.replicas.failed(1)
            began = asyncio.get_running_loop().time()
            for _ in range(1000):
                await asyncio.sleep(PAUSE_S / 10)
                if service.chosen() != {0}:
                    break
            return asyncio.get_running_loop().time() - began

        pauses = [await pause() for _ in range(6)]
        longest = Replicas.LONGEST_PAUSE_S
        expected = [PAUSE_S, PAUSE_S * 2, PAUSE_S * 4, PAUSE_S * 8, longest, longest]
        assert pauses == pytest.approx(expected, abs=PAUSE_S / 5)
        service.replicas.answered(1)
        assert await pause() == pytest.approx(PAUSE_S, abs=PAUSE_S / 5)

    on_service(2, work)


def test_one_that_is_silent_is_left_out_when_it_is_dead() -> None:
    """Before the request that waits for it has ended; one that is merely slow is not."""

    async def work(service: Service) -> None:
        service.dead = {0}
        waiting = [asyncio.create_task(service.wait_for(replica, 15)) for replica in (0, 0, 1)]
        await pass_time(1)
        assert service.chosen() == {1}
        assert service.checked == {0: 1, 1: 1}
        await asyncio.gather(*waiting)
        await service.wait_for(1, Replicas.SUSPECT_AFTER_S / 2)
        assert service.checked[1] == 1

    on_service(2, work)


def test_one_that_answers_in_time_is_not_asked_whether_it_is_alive() -> None:
    """Who watches it says so, and need not wait for it in a block."""

    async def work(service: Service) -> None:
        service.dead = {0}
        watches = [service.replicas.watch(0) for _ in range(2)]
        await pass_time(Replicas.SUSPECT_AFTER_S / 2)
        first, second = watches
        assert first is not None
        assert second is not None
        first.cancel()
        assert service.chosen() == {0, 1}
        await pass_time(Replicas.SUSPECT_AFTER_S)
        assert service.checked == {0: 1}
        assert service.chosen() == {1}

    on_service(2, work)

    async def alone(service: Service) -> None:
        assert service.replicas.watch(0) is None

    on_service(1, alone)


def test_where_none_is_well_all_are_asked() -> None:
    """And the only one is never left out."""

    async def work(service: Service) -> None:
        for replica in (0, 1):
            service.replicas.failed(replica)
        assert service.chosen() == {0, 1}

    on_service(2, work)

    async def alone(service: Service) -> None:
        service.replicas.failed(0)
        await service.wait_for(0, 15)
        assert service.chosen() == {0}
        assert not service.checked

    on_service(1, alone)


ORDERS = next(panel for panel in PANELS if panel.name == "orders")
OPEN_S, PROBES, WELL_S = 2.0, 3, 0.01


class Owner:
    """Waits for one call, until the panel's timeout is over."""

    def __init__(self, clock: Clock) -> None:
        self.until = clock() + ORDERS.timeout_s
        self.ended_with: asyncio.Future[UpstreamFailed | None] = asyncio.get_running_loop().create_future()

    def deadline(self, _call: Call) -> float:
        return self.until

    def let_pass(self, _call: Call) -> None:
        pass

    def ended(self, _call: Call, _answers: Answers | None, failure: UpstreamFailed | None) -> None:
        self.ended_with.set_result(failure)


class Callers:
    """Ask a service one after the other. It hangs, or fails at once, for as long as it is ill; always for a poisoned
    user."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.upstream = SimulatedUpstream(self._behave)
        self.ill: float | None = None
        self.calls = calls_to(
            self.upstream,
            clock,
            breaker_min_calls=5,
            breaker_open_s=OPEN_S,
            breaker_probes=PROBES,
            retry_share=0,
        )
        self.refused = 0

    @property
    def asked(self) -> list[list[str]]:
        return [exchange.user_ids for exchange in self.upstream.exchanges]

    def begin(self, user_id: str = "1") -> tuple[Call, Owner]:
        owner = Owner(self.clock)
        call = Call(self.calls, (ORDERS,), [user_id], owner.until, Origin("request", Trace.start()), owner)
        call.start()
        return call, owner

    async def ask(self, user_id: str = "1") -> float:
        """How long that took."""
        began = self.clock()
        _, owner = self.begin(user_id)
        self.refused += isinstance(await owner.ended_with, CircuitOpen)
        return self.clock() - began

    async def until_refused(self) -> None:
        refused = self.refused
        while self.refused == refused:
            await self.ask("poison" if self.ill is None else "1")

    def _behave(self, exchange: Exchange) -> None:
        if self.ill is not None or "poison" in exchange.user_ids:
            exchange.after(self.ill or 0, exchange.fail, BadAnswer("ill"))
        else:
            exchange.after(WELL_S, exchange.answer)


@pytest.mark.parametrize("ill", [0.0, 3600.0], ids=["fails", "hangs"])
def test_nobody_waits_while_the_breaker_is_open(ill: float) -> None:
    """From when it opens until the service is well, however many probes there are, each caller is answered at once;
    then the service is asked again, without a caller for it."""

    async def run(clock: Clock) -> None:
        callers = Callers(clock)
        callers.ill = ill
        await callers.until_refused()
        asked, ends = len(callers.asked), clock() + 60
        while clock() < ends:
            assert await callers.ask() == 0
            await pass_time(0.05)
        probes = len(callers.asked) - asked
        assert 60 / (OPEN_S + 1) - 1 <= probes <= 60 / OPEN_S + 1
        callers.ill = None
        await asyncio.sleep(OPEN_S + PROBES * ORDERS.timeout_s)
        refused = callers.refused
        assert await callers.ask() == pytest.approx(WELL_S)
        assert callers.refused == refused
        callers.calls.close()

    run_virtually(run)


def test_a_question_that_cannot_be_answered_keeps_no_breaker_open() -> None:
    """The next probe is what was asked since."""

    async def run(clock: Clock) -> None:
        callers = Callers(clock)
        await callers.until_refused()
        await callers.ask("2")
        await asyncio.sleep(OPEN_S + 1)
        assert await callers.ask() == pytest.approx(WELL_S)
        assert callers.asked[-2] == ["2"]
        callers.calls.close()

    run_virtually(run)


def test_a_probe_is_one_exchange() -> None:
    """It is neither repeated nor hedged, whatever the budget: the service is to be left alone."""

    async def run(clock: Clock) -> None:
        callers = Callers(clock)
        for _ in range(1000):
            callers.calls.policies.retries.pay_in()
            callers.calls.policies.hedge((ORDERS,)).observe(WELL_S)
        callers.ill = 0.5
        while callers.refused == 0:
            await callers.ask()
        asked = len(callers.asked)
        await pass_time(OPEN_S + 1)
        assert len(callers.asked) == asked + 1
        callers.calls.close()

    run_virtually(run)


def test_a_call_that_hangs_counts_before_it_ends() -> None:
    """Callers who come one after the other may keep a read under way for as long as they like."""

    async def run(clock: Clock) -> None:
        callers = Callers(clock)
        callers.ill = 3600
        begun = [callers.begin(str(number)) for number in range(5)]
        for _, owner in begun:
            owner.until += 60
        await pass_time(ORDERS.timeout_s)
        assert not any(owner.ended_with.done() for _, owner in begun)
        assert await callers.ask("6") == 0
        assert callers.refused == 1
        for call, _ in begun:
            call.cancel()
        callers.calls.close()

    run_virtually(run)


def test_after_the_end_nothing_is_probed() -> None:
    """Though a probe that is under way then ends badly."""

    async def run(clock: Clock) -> None:
        callers = Callers(clock)
        callers.ill = 0.2
        await callers.until_refused()
        await pass_time(OPEN_S + 0.1)
        assert callers.upstream.open
        callers.calls.close()
        asked = len(callers.asked)
        await pass_time(10 * OPEN_S)
        assert not callers.upstream.open
        assert len(callers.asked) == asked

    run_virtually(run)
