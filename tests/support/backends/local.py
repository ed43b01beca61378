"""Private servers on this machine in a temporary folder, without Docker."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.backends.databases import create_database, drop_database
from tests.support.backends.lazy import LazyBackends
from tests.support.backends.rabbit import RabbitControl
from tools.devstack.servers.postgres import Postgres
from tools.devstack.servers.rabbitmq import RabbitMQ
from tools.devstack.servers.valkey import Valkey
from tools.devstack.system.errors import StartError
from tools.devstack.system.processes import Processes


class LocalPostgres(Postgres):
    def create_database(self, name: str, template: str | None = None) -> str:
        return create_database(self.url, name, template)

    def drop_database(self, name: str) -> None:
        drop_database(self.url, name)


class LocalRabbit(RabbitControl, RabbitMQ):
    def rabbitmqctl(self, *arguments: str) -> str:
        """`eval` goes through `erl_call`, which takes 3 ms of processor time and not a second, because it starts no
        Erlang."""
        command, *expressions = arguments
        if command != "eval" or shutil.which("erl_call") is None:
            return super().rabbitmqctl(*arguments)
        argv = ["erl_call", "-sname", self._environment["RABBITMQ_NODENAME"], "-e"]
        expression = " ".join(expressions) + "\n"
        done = subprocess.run(
            argv, input=expression, env=self._environment, capture_output=True, text=True, timeout=120, check=False
        )
        if not done.stdout.startswith("{ok, "):
            raise StartError(f"erl_call {expression}: {(done.stdout or done.stderr).strip()}")
        return done.stdout[len("{ok, ") : -1]


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
