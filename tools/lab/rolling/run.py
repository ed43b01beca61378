"""One run: every process is restarted under a steady load; then, failures, losses and repetitions are counted."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.waiting import eventually
from tools.devstack.plan import DRAIN_S
from tools.devstack.roll import ORDER, Rolling, databases
from tools.devstack.system.processes import Processes
from tools.lab.chaos.checks import Check
from tools.lab.chaos.dashboard import UP, Dashboard, running_dashboard
from tools.lab.chaos.journal import Journal
from tools.lab.chaos.load import FIRST, Load
from tools.lab.chaos.servers import running_servers
from tools.lab.rolling import statements
from tools.lab.rolling.follower import Follower
from tools.lab.rolling.front import NOTHING_IN_TIME, Front, FrontOfTwoVersions, failures
from tools.lab.rolling.versions import Version

EVERY_PROCESS = tuple((name, number) for name in ORDER for number in (0, 1))
FOLLOWERS = 4
PATIENT = {
    "GATEWAY_PASS_THROUGH_TIMEOUT_S": "30",
    "GATEWAY_SHED_MOST_IN_HAND": "0",
    "SHUTDOWN_GRACE_S": "60",
    **{f"{name}_SHUTDOWN_GRACE_S": "60" for name in ("GATEWAY", "USERS", "ORDERS", "WORKER")},
    **{f"{name}_DRAIN_S": str(DRAIN_S) for name in ("GATEWAY", "USERS", "ORDERS", "WORKER")},
}
"""Settings for a busy machine, which is slow to hash passwords and to finish requests and jobs; that must not count as
a failure. The names with a prefix are those of earlier versions."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Conditions:
    """`rate` is the number of clients' actions per second. The services in `who` are restarted, in this order, `rounds`
    times."""

    rate: float = 8.0
    who: Sequence[tuple[str, int]] = EVERY_PROCESS
    rounds: int = 1
    seed: int = 1
    persons: int = FIRST
    """The number of persons before the first restart."""
    since: str | None = None
    """A git ref whose version runs first, with the packages of its lock file. Then the databases are migrated to
    today's schema, and the processes are replaced by today's."""
    record: bool = False
    """Store the statements that the databases received, as golden files."""
    rest_s: float = 120.0
    """The maximum time until the system has recovered, and until all work is done."""
    empty_share: float = 0.01
    """The maximum share of dashboards without any panel, because every panel was too late."""


@dataclass
class Outcome:
    journal: Journal
    rolled: list[tuple[str, float]] = field(default_factory=list)
    """Each process, with the seconds until its successor was ready."""
    seconds: float = 0.0
    streams: int = 0
    checks: list[Check] = field(default_factory=list)

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.fails and check.found]

    def report(self) -> str:
        lines = [f"{len(self.rolled)} processes restarted in {self.seconds:.0f} s"]
        lines += [f"{len(self.journal.orders)} orders, {self.streams} live streams"]
        lines += [f"{what}: {outcome}: {count}" for (what, outcome), count in sorted(self.journal.requests.items())]
        lines += [f"{check.name}: {len(check.found)} {list(check.found[:5]) or ''}" for check in self.checks]
        return "\n".join(lines)


async def run(conditions: Conditions, folder: Path, say: Say) -> Outcome:
    processes = Processes()
    try:
        async with running_servers(folder, processes) as servers:
            if conditions.record:
                await asyncio.to_thread(statements.log_all, servers.postgres.url)
            before: Version | None = None
            up: Sequence[str] = UP
            if conditions.since:
                before = await asyncio.to_thread(Version, folder / "versions", conditions.since)
                up = (sys.executable, "-m", "tools.lab.rolling.version_up", str(before.path))
            async with running_dashboard(folder, processes, servers, up, **PATIENT) as system:
                outcome = await roll(system, conditions, say, before)
            if conditions.record:
                statements.keep(servers.by_name["postgres"].log)
            return outcome
    finally:
        await asyncio.to_thread(processes.close, 3)


async def roll(system: Dashboard, conditions: Conditions, say: Say, before: Version | None = None) -> Outcome:
    """Run it. `before` is the version that runs first, if it is not today's."""
    kind = FrontOfTwoVersions if before else Front
    load = Load(system.urls, conditions.seed, conditions.rate, system.servers.mailbox, kind, first=conditions.persons)
    outcome = Outcome(load.journal)
    await load.begin()
    followers = [Follower(system.urls, person.headers) for person in load.persons[:FOLLOWERS]]
    following = [asyncio.create_task(follower.run()) for follower in followers]
    began = time.monotonic()
    try:
        if before:
            await asyncio.to_thread(before.become_todays, databases(system.folder))
            say(f"{time.monotonic() - began:6.1f}  migrated")
        for name, number in [*conditions.who] * conditions.rounds:
            one = Rolling(system.folder, name, number)
            outcome.rolled.append((one.label, await asyncio.to_thread(one.roll)))
            say(f"{time.monotonic() - began:6.1f}  {one.label} after {outcome.rolled[-1][1]:.1f} s")
            await eventually(lambda: _is_whole(system), conditions.rest_s)
        outcome.seconds = time.monotonic() - began
        await load.end(conditions.rest_s)
        with suppress(AssertionError):
            await eventually(lambda: _is_at_rest(system), conditions.rest_s)
        outcome.checks = await _checks(system, load, followers, conditions)
    finally:
        for task in following:
            task.cancel()
        await asyncio.wait(following)
        await load.requests.close()
    outcome.streams = sum(follower.streams for follower in followers)
    return outcome


async def _checks(system: Dashboard, load: Load, followers: Sequence[Follower], conditions: Conditions) -> list[Check]:
    counts = [sum(order.user_id == person.id for order in load.journal.orders.values()) for person in load.persons]
    told = list(zip(followers, counts, strict=False))
    with suppress(AssertionError):
        await eventually(lambda: all(_shown(follower) == count for follower, count in told), conditions.rest_s)
    behind = [f"received {_shown(follower)} of {count}" for follower, count in told if _shown(follower) != count]
    return [
        Check("unfinished", await system.unfinished()),
        Check("requests that failed", failures(load.journal)),
        Check(
            f"dashboards without any panel, above {conditions.empty_share:.0%}",
            range(_too_many_empty(load.journal, conditions.empty_share)),
        ),
        Check("live streams that failed", [failure for one in followers for failure in one.failures]),
        Check("followers who missed changes", behind),
        *await asyncio.to_thread(system.checks, load.journal, ()),
    ]


def _too_many_empty(journal: Journal, share: float) -> int:
    return journal.requests[NOTHING_IN_TIME] - int(journal.requests["dashboard", "200"] * share)


def _shown(follower: Follower) -> int:
    """Return the number of orders on the page."""
    data = follower.known.get("analytics", {}).get("data") or {}
    return int(data.get("orders", 0))


async def _is_whole(system: Dashboard) -> bool:
    return not await system.missing()


async def _is_at_rest(system: Dashboard) -> bool:
    return not await system.unfinished()
