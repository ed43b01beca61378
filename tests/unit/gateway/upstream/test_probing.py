"""A service that hangs, and its callers, on a clock of their own: nobody waits for the probes."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import pytest

from services.gateway.panels import PANELS
from services.gateway.upstream.circuit_breaker import BreakerPolicy
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import BadAnswer, CircuitOpen, UpstreamFailed
from services.gateway.upstream.resilience import Guard, GuardPolicy
from tests.support.virtual import Clock, pass_time, run_virtually

ORDERS = next(panel for panel in PANELS if panel.name == "orders")
OPEN_S, PROBES, WELL_S = 2.0, 3, 0.01
POLICY = GuardPolicy(BreakerPolicy(10, 5, 0.5, OPEN_S, PROBES), 32, 0.75, 0.01, 0, 10**6)


class Service:
    """Hangs, or fails at once, for as long as it is ill; always for a poisoned user."""

    def __init__(self) -> None:
        self.ill: float | None = None
        self.asked: list[Sequence[str]] = []

    def next_replica(self) -> int:
        return 0

    async def ask(self, _path: str, user_ids: Sequence[str], *_: object) -> bytes:
        self.asked.append(user_ids)
        if self.ill is not None or "poison" in user_ids:
            await asyncio.sleep(self.ill or 0)
            raise BadAnswer("ill")
        await asyncio.sleep(WELL_S)
        return json.dumps({"items": {user_id: [] for user_id in user_ids}}).encode()


class Callers:
    """Ask one after the other, and give up after the panel's timeout."""

    def __init__(self, clock: Clock) -> None:
        self.service = Service()
        self.clock = clock
        self.guard = Guard("orders", cast("Upstream", self.service), POLICY, clock)
        self.refused = 0

    async def ask(self, user_id: str = "1") -> float:
        """How long that took."""
        began = self.clock()
        with suppress(TimeoutError, UpstreamFailed):
            try:
                async with asyncio.timeout(ORDERS.timeout_s):
                    await self.guard.ask(ORDERS, [user_id], self.clock() + ORDERS.timeout_s)
            except CircuitOpen:
                self.refused += 1
                raise
        return self.clock() - began

    async def until_refused(self) -> None:
        refused = self.refused
        while self.refused == refused:
            await self.ask("poison" if self.service.ill is None else "1")


@pytest.mark.parametrize("ill", [0.0, 3600.0], ids=["fails", "hangs"])
def test_nobody_waits_while_the_breaker_is_open(ill: float) -> None:
    """From when it opens until the service is well, however many probes there are, each caller is answered at once;
    then the service is asked again, without a caller for it."""

    async def run(clock: Clock) -> None:
        callers = Callers(clock)
        callers.service.ill = ill
        await callers.until_refused()
        asked, ends = len(callers.service.asked), clock() + 60
        while clock() < ends:
            assert await callers.ask() == 0
            await pass_time(0.05)
        probes = len(callers.service.asked) - asked
        assert 60 / (OPEN_S + 1) - 1 <= probes <= 60 / OPEN_S + 1
        callers.service.ill = None
        await asyncio.sleep(OPEN_S + PROBES * ORDERS.timeout_s)
        refused = callers.refused
        assert await callers.ask() == pytest.approx(WELL_S)
        assert callers.refused == refused
        callers.guard.close()

    run_virtually(run)


def test_a_question_that_cannot_be_answered_keeps_no_breaker_open() -> None:
    """The next probe is what was asked since."""

    async def run(clock: Clock) -> None:
        callers = Callers(clock)
        await callers.until_refused()
        await callers.ask("2")
        await asyncio.sleep(OPEN_S + 1)
        assert await callers.ask() == pytest.approx(WELL_S)
        assert callers.service.asked[-2] == ["2"]
        callers.guard.close()

    run_virtually(run)


def test_a_call_that_hangs_counts_before_it_ends() -> None:
    """Callers who come one after the other may keep a read under way for as long as they like."""

    async def run(clock: Clock) -> None:
        callers = Callers(clock)
        callers.service.ill = 3600
        calls = [asyncio.create_task(callers.guard.ask(ORDERS, [str(n)], clock() + 0.8)) for n in range(5)]
        await asyncio.sleep(ORDERS.timeout_s)
        with pytest.raises(CircuitOpen):
            await callers.guard.ask(ORDERS, ["6"], clock() + 0.8)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        callers.guard.close()

    run_virtually(run)
