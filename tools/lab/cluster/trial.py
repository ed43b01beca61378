"""One trial: a server is lost under load and later returns; finally, the losses are counted."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from tests.support.waiting import eventually
from tools.devstack.system.processes import Processes
from tools.lab.chaos.checks import Check
from tools.lab.chaos.dashboard import Dashboard, running_dashboard
from tools.lab.chaos.injected import Injected
from tools.lab.chaos.journal import Journal
from tools.lab.chaos.load import Load
from tools.lab.chaos.servers import Servers
from tools.lab.cluster.delays import mail_delays

REST_S = 180.0


@dataclass(frozen=True)
class Conditions:
    """Seconds of load before the loss, during it, and after the server has returned."""

    seed: int
    rate: float = 12.0
    """Actions of clients per second."""
    before_s: float = 20.0
    away_s: float = 30.0
    after_s: float = 20.0


class Scenario(Protocol):
    name: str

    @property
    def injected(self) -> Sequence[Injected]:
        """Return the faults that may explain mails that were sent twice."""

    async def lose(self) -> str:
        """Lose the server, and return a description of the loss."""

    async def bring_back(self) -> str: ...

    def checks(self) -> list[Check]: ...


Start = Callable[[Path, Processes], AbstractAsyncContextManager[tuple[Scenario, Servers]]]


@dataclass(frozen=True)
class Times:
    """In seconds: the longest time between two accepted orders, and the time from an order's response to its mail."""

    pause_s: float
    mail_s: float


@dataclass(frozen=True)
class Outcome:
    scenario: str
    conditions: Conditions
    said: list[str]
    journal: Journal
    while_away: int
    usual: Times
    worst: Times
    rest_s: float
    checks: list[Check]

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.fails and check.found]


async def run(start: Start, conditions: Conditions, folder: Path, say: Callable[[str], None]) -> Outcome:
    processes = Processes()
    try:
        async with start(folder, processes) as (scenario, servers):
            say(f"{scenario.name}: servers are there")
            async with running_dashboard(folder, processes, servers) as system:
                return await _try(scenario, system, servers, conditions, say)
    finally:
        await asyncio.to_thread(processes.close, 3)


async def _try(
    scenario: Scenario, system: Dashboard, servers: Servers, conditions: Conditions, say: Callable[[str], None]
) -> Outcome:
    load, said = Load(system.urls, conditions.seed, conditions.rate, servers.mailbox), []
    try:
        await load.begin()
        say("load has begun")
        await asyncio.sleep(conditions.before_s)
        load.burst()
        lost_at = time.time()
        said.append(await scenario.lose())
        say(said[-1])
        await asyncio.sleep(conditions.away_s)
        load.burst()
        back_at = time.time()
        said.append(await scenario.bring_back())
        say(said[-1])
        await asyncio.sleep(conditions.after_s)
        ended = time.monotonic()
        await load.end(REST_S)
        unfinished = await _rest(system, REST_S)
        rest_s = time.monotonic() - ended
    finally:
        await load.requests.close()
    checks = [Check(f"unfinished {REST_S:.0f} s after the load", unfinished), *scenario.checks()]
    checks += await asyncio.to_thread(system.checks, load.journal, scenario.injected)
    times = sorted(order.answered_at for order in load.journal.orders.values())
    delays = mail_delays(load.journal, servers.mailbox.mails())
    early, late = ([delay for at, delay in delays if (at + delay < lost_at) is is_early] for is_early in (True, False))
    return Outcome(
        scenario=scenario.name,
        conditions=conditions,
        said=said,
        journal=load.journal,
        while_away=sum(lost_at <= at < back_at for at in times),
        usual=Times(_longest(times, 0, lost_at), max(early, default=0)),
        worst=Times(_longest(times, lost_at, time.time()), max(late, default=0)),
        rest_s=rest_s,
        checks=checks,
    )


def _longest(times: Sequence[float], first: float, last: float) -> float:
    """Return the longest pause that ends in this period."""
    return max((after - before for before, after in pairwise(times) if first <= after < last), default=0.0)


async def _rest(system: Dashboard, within: float) -> list[str]:
    async def at_rest() -> bool:
        return not await system.unfinished()

    try:
        await eventually(at_rest, within)
    except AssertionError:
        return await system.unfinished()
    return []
