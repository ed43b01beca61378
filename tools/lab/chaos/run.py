"""One run: start, load, inject faults, remove them, wait for rest, check."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.waiting import eventually
from tools.devstack.system.processes import Processes
from tools.lab.chaos.checks import Check
from tools.lab.chaos.durable import Durable
from tools.lab.chaos.faults import plan
from tools.lab.chaos.injected import Injected
from tools.lab.chaos.injector import Injector
from tools.lab.chaos.journal import Journal
from tools.lab.chaos.load import FIRST, Load
from tools.lab.chaos.servers import Servers, running_servers
from tools.lab.chaos.system import System
from tools.lab.chaos.watch import Recovery, Watch

Start = Callable[[Path, Processes, Servers], AbstractAsyncContextManager[System]]


@dataclass(frozen=True)
class Conditions:
    seed: int
    seconds: float = 180.0
    rate: float = 8.0
    """Actions of clients per second."""
    only: frozenset[str] = frozenset()
    """The faults to inject; all if empty."""
    in_burst: int = 25
    """The number of concurrent orders before each fault."""
    persons: int = FIRST
    """The number of persons before the first fault."""
    rest_s: float = 120.0
    """The maximum time from the last fault until all work is done."""


@dataclass(frozen=True)
class Outcome:
    system: str
    conditions: Conditions
    journal: Journal
    injected: Sequence[Injected]
    skipped: int
    recovery: Recovery
    rest_s: float
    """The time from the last fault until all work was done."""
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.fails and check.found]


async def run(start: Start, conditions: Conditions, folder: Path, say: Callable[[str], None]) -> Outcome:
    processes = Processes()
    try:
        async with running_servers(folder, processes) as servers, start(folder, processes, servers) as system:
            return await torment(system, servers, conditions, say, Journal())
    finally:
        await asyncio.to_thread(processes.close, 3)


async def torment(
    system: System, servers: Servers, conditions: Conditions, say: Callable[[str], None], journal: Journal
) -> Outcome:
    """Inject the faults under load. `journal` has the responses that clients received before."""
    load = Load(
        system.urls,
        conditions.seed,
        conditions.rate,
        servers.mailbox,
        journal=journal,
        in_burst=conditions.in_burst,
        first=conditions.persons,
    )
    durable = Durable(system.databases, load, conditions.seconds)
    injector = Injector(system, servers, say, durable.burst)
    watch = Watch(system, injector)
    faults = plan(conditions.seed, conditions.seconds, conditions.only)
    watching = asyncio.create_task(watch.run())
    try:
        await load.begin()
        async with durable.running():
            await injector.run(faults)
        healed = time.monotonic()
        say("healed")
        await durable.end(conditions.rest_s)
        unfinished = await _rest(system, healed + conditions.rest_s - time.monotonic())
        rest_s = time.monotonic() - healed
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await load.requests.close()
    checks = [Check(f"unfinished {conditions.rest_s:.0f} s after the last fault", unfinished)]
    checks += await asyncio.to_thread(system.checks, load.journal, injector.done)
    figures = await asyncio.to_thread(system.figures, load.journal)
    return Outcome(
        system.name, conditions, load.journal, injector.done, injector.skipped, watch.longest, rest_s, checks, figures
    )


async def _rest(system: System, within: float) -> list[str]:
    """Wait until all work is done, and return the remaining work."""
    with suppress(AssertionError):
        await eventually(lambda: _is_at_rest(system), within)
        return []
    return await system.unfinished()


async def _is_at_rest(system: System) -> bool:
    return not await system.unfinished()
