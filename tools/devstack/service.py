"""The processes of the services, and the supervisor that restarts servers and services that exit on their own."""

import http.client
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.devstack.plan import DRAIN_S
from tools.devstack.servers.base import Server
from tools.devstack.system.errors import StackError
from tools.devstack.system.processes import Processes

FIRST, LONGEST = 0.2, 15.0
"""The pauses before a restart, in seconds."""
STABLE = 20.0
"""A process that lives this long counts as healthy again."""

_DASHBOARD = (sys.executable, "-m", "tools.cli.main")


class Service(Server):
    """One process of a service: the same command as in production, with settings from the environment."""

    grace = 5.0 + DRAIN_S

    def __init__(
        self,
        processes: Processes,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        port: int,
        log: Path,
    ) -> None:
        super().__init__(processes, log)
        self.name = name
        self.port = port
        self._argv = list(argv)
        self._env = dict(env)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it without waiting, because a service may start while its dependencies are still down."""
        self._replace(self.processes.spawn(self.name, self._argv, log=self.log, env=self._env))

    def wait_ready(self) -> None:
        self._until(self._ready)

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _serve(name: str) -> list[str]:
    return [*_DASHBOARD, "serve", name]


def _migrate(name: str) -> list[str]:
    return [*_DASHBOARD, "migrate", name]


@dataclass(frozen=True)
class Commands:
    """How the stack runs a service, its migrations and the demo data."""

    serve: Callable[[str], list[str]] = _serve
    migrate: Callable[[str], list[str]] = _migrate
    seed: tuple[str, ...] = (*_DASHBOARD, "seed")


class Backoff:
    """The pauses between restarts of one process."""

    def __init__(self) -> None:
        self._next = FIRST

    def after(self, lifetime: float) -> float:
        if lifetime >= STABLE:
            self._next = FIRST
        delay = self._next
        self._next = min(delay * 2, LONGEST)
        return delay


class Supervisor:
    def __init__(self, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._say = say
        self._changed = changed
        self._stopping = threading.Event()
        self._watchers: list[threading.Thread] = []
        self._starting: dict[Server, threading.Lock] = {}

    def watch(self, server: Server) -> None:
        self._starting[server] = threading.Lock()
        watcher = threading.Thread(target=self._keep_alive, args=(server,), daemon=True)
        self._watchers.append(watcher)
        watcher.start()

    def stop(self) -> None:
        """From now on, do not restart processes that exit."""
        self._stopping.set()

    def restart(self, server: Server) -> None:
        """Stop it and start it again, without a pause and without waiting until it is ready."""
        with self._starting[server]:
            server.stop()
            if not self._stopping.is_set():
                server.start()
                self._changed()

    def join(self, timeout: float) -> None:
        for watcher in self._watchers:
            watcher.join(timeout)

    def _keep_alive(self, server: Server) -> None:
        backoff = Backoff()
        while True:
            since = time.monotonic()
            code = server.wait()
            if self._stopping.is_set():
                return
            if self._runs(server):
                continue
            self._say(f"{server.name} {ending(code)}: restarting it (log: {server.log})")
            if not self._start_again(server, backoff, time.monotonic() - since):
                return

    def _start_again(self, server: Server, backoff: Backoff, lifetime: float) -> bool:
        """Return False if everything is being stopped."""
        delay = backoff.after(lifetime)
        while not self._stopping.wait(delay):
            with self._starting[server]:
                if server.pids:
                    return True
                try:
                    server.start()
                except (StackError, OSError) as error:
                    delay = backoff.after(0)
                    if not self._stopping.is_set():
                        self._say(f"{server.name} does not start, trying again in {delay:.1f} s: {error}")
                else:
                    self._changed()
                    self._say(f"{server.name} is back (pid {' '.join(map(str, server.pids))})")
                    return True
        return False

    def _runs(self, server: Server) -> bool:
        """Return whether it was started again meanwhile, by `restart`."""
        with self._starting[server]:
            return bool(server.pids)


def ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
