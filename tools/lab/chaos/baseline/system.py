"""The baseline as a system under test: one supervised process, on the same Postgres and SMTP server."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tools.devstack.service import Service, Supervisor
from tools.devstack.system.databases import execute, with_database
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Identity, Processes
from tools.lab.chaos import checks
from tools.lab.chaos.checks import Check
from tools.lab.chaos.faults import Fault
from tools.lab.chaos.injected import Injected
from tools.lab.chaos.journal import Journal
from tools.lab.chaos.servers import Servers

STANDS_FOR = ("orders", "worker")
"""The one process does the work of all. Faults of the first process of each of these services affect it."""
USES = ("postgres", "smtp")
DATABASE = "baseline"


@dataclass(frozen=True)
class Baseline:
    service: Service
    servers: Servers
    name: str = "BackgroundTasks"

    @property
    def urls(self) -> list[str]:
        return [self.service.url]

    @property
    def databases(self) -> Mapping[str, str]:
        return {}

    def process(self, label: str) -> Identity | None:
        pids = self.service.pids if label in STANDS_FOR else []
        return Identity.of(pids[0]) if pids else None

    def suffers(self, fault: Fault) -> bool:
        return fault.target in (*STANDS_FOR, *USES)

    async def missing(self) -> list[str]:
        return [] if await self._ready() else ["not ready"]

    async def unfinished(self) -> list[str]:
        answer = await self._ready()
        return [] if answer and not answer.json()["under_way"] else ["tasks under way"]

    def checks(self, journal: Journal, injected: Sequence[Injected]) -> list[Check]:
        url = with_database(self.servers.postgres.url, DATABASE)
        return [
            *checks.requests(journal),
            *checks.orders(journal, url),
            *checks.mails(journal, self.servers, injected),
            *checks.analytics(url, url),
        ]

    def figures(self, _journal: Journal) -> dict[str, str]:
        return {}

    async def _ready(self) -> httpx.Response | None:
        try:
            async with httpx.AsyncClient(timeout=3) as http:
                answer = await http.get(f"{self.service.url}/readyz")
        except httpx.HTTPError:
            return None
        return answer if answer.is_success else None


@asynccontextmanager
async def running_baseline(folder: Path, processes: Processes, servers: Servers) -> AsyncIterator[Baseline]:
    await asyncio.to_thread(execute, servers.postgres.url, f"CREATE DATABASE {DATABASE}")
    service = _service(folder, processes, servers)
    supervisor = Supervisor(lambda _: None, lambda: None)
    try:
        await asyncio.to_thread(service.start)
        await asyncio.to_thread(service.wait_ready)
        supervisor.watch(service)
        yield Baseline(service, servers)
    finally:
        supervisor.stop()
        await asyncio.to_thread(service.stop)
        await asyncio.to_thread(supervisor.join, 5)


def _service(folder: Path, processes: Processes, servers: Servers) -> Service:
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "tools.lab.chaos.baseline.app:app", "--port", str(port)]
    env = os.environ | {
        "ENVIRONMENT": "development",
        "WORKER_DATABASE_URL": with_database(servers.links["postgres"].url, DATABASE),
        "WORKER_RABBITMQ_URL": servers.links["rabbitmq"].url,
        "WORKER_SMTP_URL": servers.links["smtp"].url,
    }
    return Service(processes, "baseline", argv, env=env, port=port, log=folder / "baseline.log")
