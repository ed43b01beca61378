"""One process of a service: the same command as in production, its settings from the environment."""

import http.client
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.devstack.plan import DRAIN_S
from tools.devstack.servers.base import Server
from tools.devstack.system.processes import Processes


class Service(Server):
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
        """Without waiting: a service may come up while what it needs is still away."""
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


_DASHBOARD = (sys.executable, "-m", "tools.cli.main")


def _serve(name: str) -> list[str]:
    return [*_DASHBOARD, "serve", name]


def _migrate(name: str) -> list[str]:
    return [*_DASHBOARD, "migrate", name]


@dataclass(frozen=True)
class Commands:
    serve: Callable[[str], list[str]] = _serve
    migrate: Callable[[str], list[str]] = _migrate
    seed: tuple[str, ...] = (*_DASHBOARD, "seed")
