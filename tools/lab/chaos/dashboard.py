"""The system under test, as `dashboard up` runs it, on the linked servers, with two processes of each service."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import eventually
from tools.devstack.system.databases import with_database
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Child, Identity, Processes
from tools.lab.chaos import checks, record_run, runs, tasks
from tools.lab.chaos.checks import Check
from tools.lab.chaos.faults import Fault
from tools.lab.chaos.injected import Injected
from tools.lab.chaos.journal import Journal
from tools.lab.chaos.servers import Servers
from tools.lab.chaos.whole import unready, without_consumers

NAMES = ("worker", "orders", "users", "gateway")
DATABASES = ("worker", "orders", "users")
START_S = 300.0
UP = (sys.executable, "-m", "tools.cli.main", "up", "--no-demo")
STOP_S = 30.0


@dataclass(frozen=True)
class Dashboard:
    folder: Path
    servers: Servers
    has_tasks: bool
    """Whether its workers have the jobs of `tools.lab.chaos.jobs`."""
    workers: int = 2
    """The number of worker processes."""
    name: str = "Dashboard"

    @property
    def urls(self) -> list[str]:
        return list(self._info["gateway"]["urls"])

    @property
    def databases(self) -> Mapping[str, str]:
        return {name: self._database(name) for name in DATABASES} if self.has_tasks else {}

    def process(self, label: str) -> Identity | None:
        rows = json.loads((self.folder / "processes.json").read_text())
        known = [Identity(row["pid"], row["started"]) for row in rows if row["name"] == label]
        return next((identity for identity in reversed(known) if identity.alive()), None)

    def suffers(self, _fault: Fault) -> bool:
        return True

    async def missing(self) -> list[str]:
        try:
            probes = [url for name in NAMES for url in self._info[name]["urls"]]
        except (OSError, KeyError, ValueError) as error:
            return [repr(error)]
        queues = [record_run.QUEUE] if self.has_tasks else []
        url = self.servers.rabbitmq.url
        # The last version's gateways are degraded whenever the machine is too busy for Redis to answer within 50 ms.
        accepted = ("ready",) if self.has_tasks else ("ready", "degraded")
        left = await unready(probes, accepted)
        return left or await without_consumers(url, self.workers, queues, of_one_version=self.has_tasks)

    async def unfinished(self) -> list[str]:
        return await self.missing() or await asyncio.to_thread(self._work_left)

    def checks(self, journal: Journal, injected: Sequence[Injected]) -> list[Check]:
        return [
            *checks.requests(journal),
            *checks.orders(journal, self._database("orders")),
            *checks.mails(journal, self.servers, injected),
            *checks.analytics(self._database("orders"), self._database("worker")),
            *checks.notifications(journal, self._database("worker")),
            *checks.persons(journal, self._database("users"), self._database("worker")),
            *(runs.checks(journal, runs.read(self.databases)) if self.has_tasks else ()),
            *self._left(),
        ]

    def figures(self, journal: Journal) -> dict[str, str]:
        return runs.figures(journal, runs.read(self.databases)) if self.has_tasks else {}

    def _left(self) -> list[Check]:
        return [*self._rows_left(), *checks.queues(self.servers)]

    def _rows_left(self) -> list[Check]:
        outboxes = checks.outboxes(self._database("users"), self._database("orders"))
        return [outboxes, *checks.ledger(self._database("worker"))]

    def _work_left(self) -> list[str]:
        """Return the remaining work. Queues are listed only if no rows are left, because that starts an Erlang."""
        return _unfinished(self._rows_left()) or _unfinished(checks.queues(self.servers))

    def _database(self, name: str) -> str:
        """Return the URL for a direct connection as the superuser."""
        return with_database(self.servers.postgres.url, name)

    @property
    def _info(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads((self.folder / "stack.json").read_text())
        return known


def _unfinished(left: Sequence[Check]) -> list[str]:
    """Dead jobs and messages do not count, because waiting does not change them."""
    return [f"{check.name}: {len(check.found)}" for check in left if check.found and "dead" not in check.name]


@asynccontextmanager
async def running_dashboard(
    folder: Path,
    processes: Processes,
    servers: Servers,
    up: Sequence[str] = UP,
    doubled: Sequence[str] = NAMES,
    **more: str,
) -> AsyncIterator[Dashboard]:
    """Run the system, with the jobs of `tools.lab.chaos.jobs`. `up` is the start of another command line, for services
    of another version, which do not have these jobs. `doubled` names the services that have two processes. `more` has
    further settings."""
    has_tasks = up == UP
    env = _environment(servers) | more | ({"WORKER_JOBS": record_run.JOBS_MODULE} if has_tasks else {})
    child = processes.spawn("dashboard", _command(up, folder, doubled), log=folder / "up.log", env=env)
    system = Dashboard(folder / "data", servers, has_tasks=has_tasks, workers=1 + doubled.count("worker"))
    try:
        await eventually(lambda: _has_started(system, child), within=START_S)
        if not child.alive():
            raise AssertionError(f"`dashboard up` ended:\n{child.log.read_text()}")
        if system.has_tasks:
            await asyncio.to_thread(tasks.prepare, system.databases)
        yield system
    finally:
        await asyncio.to_thread(child.end, STOP_S)
        processes.forget(child)


def _command(up: Sequence[str], folder: Path, doubled: Sequence[str]) -> list[str]:
    replicas = [part for name in doubled for part in ("--replicas", f"{name}=2")]
    return [*up, "--port", str(free_port()), "--data-dir", str(folder / "data"), *replicas]


def _environment(servers: Servers) -> dict[str, str]:
    urls = servers.urls
    return os.environ | {
        "DATABASE_URL": urls["postgres"],
        "REDIS_URL": urls["redis"],
        "RABBITMQ_URL": urls["rabbitmq"],
        "SMTP_URL": urls["smtp"],
    }


async def _has_started(system: Dashboard, child: Child) -> bool:
    return not child.alive() or not await system.missing()
