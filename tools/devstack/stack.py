"""The one-machine stack: starts everything in order, keeps it running, and stops it in reverse order."""

import json
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tools.devstack.backing import Backing, External, backing
from tools.devstack.datadir import DataDir
from tools.devstack.mailcatcher import MailCatcher
from tools.devstack.plan import DATA_SERVICES, Addresses, Planned, own_environment, shared_environment
from tools.devstack.servers.base import Server
from tools.devstack.service import Commands, Service, Supervisor
from tools.devstack.system.databases import create_databases
from tools.devstack.system.errors import StartError
from tools.devstack.system.files import tail, write_atomically
from tools.devstack.system.processes import Processes, end_leftovers


@dataclass(frozen=True)
class Settings:
    folder: DataDir
    planned: list[Planned]
    demo: bool = True
    durable: bool = True
    ephemeral: bool = False
    commands: Commands = field(default_factory=Commands)


class Stack:
    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._folder = settings.folder
        self._say = say
        self._processes = Processes(self._folder.record, keep_open=(self._folder.lock,))
        self._supervisor = Supervisor(say, self._refresh_state)
        self._secrets: dict[str, str] = {}
        self._state_lock = threading.Lock()
        self.backing: Backing = backing(self._folder, self._processes, os.environ, durable=settings.durable)
        self.databases: dict[str, str] = {}
        self.services: list[tuple[Planned, Service]] = []
        self.seeded = False

    def start(self) -> None:
        """Return once everything serves and the demo data exists; raises StackError otherwise."""
        self._secrets = self._folder.secrets()
        self._clear_leftovers()
        if self._settings.ephemeral:
            self._processes.remove_at_end(self._folder.path)
        postgres, *others = self.backing.all
        if self.backing.private:
            self._say(f"starting {', '.join(server.name for server in self.backing.private)}")
        in_parallel([lambda: self._start_databases(postgres), *(partial(self._start_server, one) for one in others)])
        self._say_external()
        self._say(f"starting {', '.join(planned.label for planned in self._settings.planned)}")
        self._start_services()
        for server in (*self.backing.private, *(service for _, service in self.services)):
            self._supervisor.watch(server)
        if self._settings.demo:
            self._say("creating demo data, if missing")
            self._seed()

    def stop(self) -> None:
        """Stop the gateways first and the servers last; nothing is left when this returns."""
        self._supervisor.stop()
        with suppress(OSError):
            self._state_path.unlink(missing_ok=True)
            self._targets_path.unlink(missing_ok=True)
        gateways = [service for planned, service in self.services if planned.name == "gateway"]
        in_parallel([service.stop for service in gateways])
        in_parallel([service.stop for planned, service in self.services if planned.name != "gateway"])
        in_parallel([server.stop for server in self.backing.private])
        self._processes.close(grace=2)
        self._supervisor.join(timeout=5)
        with suppress(OSError):
            self._folder.record.unlink(missing_ok=True)

    def reload(self, names: Collection[str], migrate: Collection[str] = ()) -> None:
        """Migrate those databases, restart the processes of these services with the present code, and return once
        they are ready; raises StackError otherwise."""
        for name in migrate:
            self._migrate(name)
        services = [service for planned, service in self.services if planned.name in names]
        in_parallel([partial(self._restart, service) for service in services])

    def _restart(self, service: Service) -> None:
        self._supervisor.restart(service)
        service.wait_ready()

    @property
    def _state_path(self) -> Path:
        return self._folder.path / "stack.json"

    @property
    def _targets_path(self) -> Path:
        return self._folder.path / "prometheus-targets.json"

    def _clear_leftovers(self) -> None:
        self._state_path.unlink(missing_ok=True)
        left = end_leftovers(self._folder.record)
        if left:
            self._say(f"ended what an earlier run left behind: {', '.join(left)}")

    def _start_server(self, server: Server | External) -> None:
        server.start()
        if isinstance(server, Server):
            self._say(f"{server.name} is up")

    def _start_databases(self, postgres: Server | External) -> None:
        self._start_server(postgres)
        self._say("migrating the databases")
        passwords = {name: self._secrets[f"{name.upper()}_DATABASE_PASSWORD"] for name in DATA_SERVICES}
        self.databases = create_databases(postgres.url, passwords)
        in_parallel(partial(self._migrate, name) for name in DATA_SERVICES)
        self._say("the databases are up to date")

    def _migrate(self, name: str) -> None:
        log = self._folder.logs / f"migrate-{name}.log"
        env = {
            **os.environ,
            f"{name.upper()}_DATABASE_URL": self.databases[name],
            "ENVIRONMENT": "development",
        }
        code = self._processes.run(f"migrate {name}", self._settings.commands.migrate(name), log=log, env=env)
        if code != 0:
            raise StartError(f"the database of {name} could not be migrated; {log} ends with\n{tail(log)}")

    def _start_services(self) -> None:
        env = self._environment()
        for planned in self._settings.planned:
            service = Service(
                self._processes,
                planned.label,
                self._settings.commands.serve(planned.name),
                env=env | own_environment(planned, self._settings.planned),
                port=planned.port,
                log=self._folder.logs / f"{planned.label}.log",
            )
            self.services.append((planned, service))
            service.start()
        in_parallel([partial(self._wait_ready, service) for _, service in self.services])
        self._write_state()

    def _wait_ready(self, service: Service) -> None:
        service.wait_ready()
        self._say(f"{service.name} is ready")

    def _seed(self) -> None:
        log = self._folder.logs / "seed.log"
        code = self._processes.run("seed", self._settings.commands.seed, log=log, env=self._environment())
        self.seeded = code == 0
        if not self.seeded:
            self._say(f"the demo data could not be created; {log} ends with\n{tail(log)}")

    def _environment(self) -> dict[str, str]:
        servers = self.backing
        addresses = Addresses(
            self.databases,
            servers.redis.url,
            servers.rabbitmq.url,
            servers.smtp.url,
            self._folder.uploads.as_uri(),
            servers.traces.url,
            smtputf8=isinstance(servers.smtp, MailCatcher),
        )
        return shared_environment(addresses, self._settings.planned, self._secrets)

    def _write_state(self) -> None:
        with self._state_lock:
            files = {
                self._targets_path: targets(self.services),
                self._state_path: state(self.backing, self.databases, self.services),
            }
            for path, content in files.items():
                write_atomically(path, json.dumps(content, indent=2) + "\n")

    def _refresh_state(self) -> None:
        try:
            self._write_state()
        except OSError as error:
            self._say(f"{self._state_path} could not be updated: {error.strerror}")

    def _say_external(self) -> None:
        for server in self.backing.all:
            if isinstance(server, External):
                self._say(f"using the {server.name} of {server.variable}")


def state(
    backing: Backing, databases: Mapping[str, str], services: Sequence[tuple[Planned, Service]]
) -> dict[str, Any]:
    """Return the content of `stack.json`: the addresses and processes of the stack, for tools and tests."""
    servers: dict[str, dict[str, Any]] = {
        server.name: {"url": server.url, "pids": list(server.pids)} for server in backing.all
    }
    servers["postgres"]["databases"] = dict(databases)
    names = dict.fromkeys(planned.name for planned, _ in services)
    return {name: _state_of(name, services) for name in names} | servers


def targets(services: Sequence[tuple[Planned, Service]]) -> list[dict[str, Any]]:
    """Return the content of `prometheus-targets.json`: the metrics endpoints, in the format of `file_sd_configs`, for a
    Prometheus on this machine (`deploy/prometheus/local.yml`)."""
    return [
        {"targets": [urlsplit(_metrics_url(planned)).netloc], "labels": {"process": planned.name}}
        for planned, _ in services
    ]


def _metrics_url(planned: Planned) -> str:
    return planned.internal_url if planned.name == "gateway" else planned.url


def _state_of(name: str, services: Sequence[tuple[Planned, Service]]) -> dict[str, Any]:
    mine = [(planned, service) for planned, service in services if planned.name == name]
    first = mine[0][0]
    entry: dict[str, Any] = {
        "url": first.url,
        "urls": [planned.url for planned, _ in mine],
        "pids": [pid for _, service in mine for pid in service.pids],
    }
    internal = [planned.internal_url for planned, _ in mine]
    return entry | ({"internal_url": internal[0], "internal_urls": internal} if name == "gateway" else {})


def in_parallel(calls: Iterable[Callable[[], object]]) -> None:
    """Run all concurrently; the first failure is raised when all have ended."""
    calls = list(calls)
    if not calls:
        return
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()
