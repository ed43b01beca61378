"""Private servers on this machine in a temporary folder, without Docker."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.backends.databases import create_database, drop_database
from tests.support.backends.lazy import LazyBackends
from tests.support.backends.rabbit import RabbitControl
from tools.devstack.servers.postgres import Postgres
from tools.devstack.servers.rabbitmq import RabbitMQ, find_epmd
from tools.devstack.servers.valkey import Valkey
from tools.devstack.system.errors import StartError
from tools.devstack.system.processes import Processes

EVALUATE_S = 180.0


class LocalPostgres(Postgres):
    def create_database(self, name: str, template: str | None = None) -> str:
        return create_database(self.url, name, template)

    def drop_database(self, name: str) -> None:
        drop_database(self.url, name)


class LocalRabbit(RabbitControl, RabbitMQ):
    def evaluate(self, expressions: str) -> None:
        """Use `erl_call`, which takes milliseconds, if it is installed. `rabbitmqctl` takes a second of CPU time."""
        program = find_erl_call()
        if program is None:
            super().evaluate(expressions)
            return
        environment = self._environment
        cookie = (Path(environment["HOME"]) / ".erlang.cookie").read_text()
        done = subprocess.run(
            [str(program), "-sname", environment["RABBITMQ_NODENAME"], "-c", cookie, "-e"],
            env=environment,
            input=f"{expressions.strip()}\n",
            capture_output=True,
            text=True,
            timeout=EVALUATE_S,
            check=False,
        )
        if done.returncode != 0 or not done.stdout.startswith("{ok,"):
            raise StartError(f"{expressions}: {done.stdout}{done.stderr}")


class LocalBackends(LazyBackends[LocalPostgres, Valkey, LocalRabbit]):
    kind = "local"

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="dashboard-test-"))
        self._processes = processes = Processes()
        processes.remove_at_end(folder)
        super().__init__(
            lambda: LocalPostgres(processes, folder / "postgres", folder / "postgres.log", durable=False),
            lambda: Valkey(processes, folder / "redis", folder / "redis.log"),
            lambda: LocalRabbit(processes, folder / "rabbitmq", folder / "rabbitmq.log"),
        )

    def close(self) -> None:
        self._processes.close(grace=3)
        super().close()


def find_erl_call() -> Path | None:
    """Return the program next to `epmd`, or the first on the path."""
    epmd = find_epmd()
    beside = epmd and shutil.which("erl_call", path=str(epmd.resolve().parent))
    found = beside or shutil.which("erl_call")
    return Path(found) if found else None
