"""The backing servers: private ones, or those whose URL the environment contains."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.db.engine import each_host
from shared.rabbitmq import BETWEEN_URLS
from tools.devstack.datadir import DataDir
from tools.devstack.mailcatcher import MailCatcher
from tools.devstack.servers.base import Server
from tools.devstack.servers.postgres import Postgres
from tools.devstack.servers.rabbitmq import RabbitMQ
from tools.devstack.servers.valkey import Valkey
from tools.devstack.spancatcher import SpanCatcher
from tools.devstack.system.errors import StartError
from tools.devstack.system.ports import accepts
from tools.devstack.system.processes import Processes

_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}
_PORTS |= {"smtp": 25, "smtps": 465}


@dataclass(frozen=True)
class External:
    """An existing server: used, never started or stopped. `needed`: nothing works without it."""

    name: str
    variable: str
    url: str
    pids: tuple[int, ...] = ()
    needed: bool = True

    def start(self) -> None:
        if not self.needed:
            return
        addresses = _addresses(self.url)
        if not any(accepts(port, host, timeout=5) for host, port in addresses):
            text = ", ".join(f"{host}:{port}" for host, port in addresses)
            raise StartError(f"{self.variable}: nothing answers on {text}")


@dataclass(frozen=True)
class Backing:
    postgres: Server | External
    redis: Server | External
    rabbitmq: Server | External
    smtp: Server | External
    traces: Server | External

    @property
    def all(self) -> tuple[Server | External, ...]:
        return (self.postgres, self.redis, self.rabbitmq, self.smtp, self.traces)

    @property
    def private(self) -> list[Server]:
        return [server for server in self.all if isinstance(server, Server)]


def _addresses(url: str) -> list[tuple[str, int]]:
    """Return the hosts of a Postgres URL, or of several RabbitMQ URLs."""
    parts = [urlsplit(host) for one in BETWEEN_URLS.split(url) for host in each_host(one)]
    return [(one.hostname or "localhost", one.port or _PORTS.get(one.scheme, 0)) for one in parts]


def backing(folder: DataDir, processes: Processes, given: Mapping[str, str], *, durable: bool) -> Backing:
    def given_as(name: str, variable: str, *, needed: bool = True) -> External | None:
        url = given.get(variable)
        # SQLAlchemy's notation for a driver, which only SQLAlchemy understands
        return External(name, variable, url.replace("+asyncpg", "", 1), needed=needed) if url else None

    path, logs = folder.path, folder.logs
    return Backing(
        postgres=given_as("postgres", "DATABASE_URL")
        or Postgres(processes, path / "postgres", logs / "postgres.log", durable=durable),
        redis=given_as("redis", "REDIS_URL") or Valkey(processes, path / "redis", logs / "redis.log"),
        rabbitmq=given_as("rabbitmq", "RABBITMQ_URL") or RabbitMQ(processes, path / "rabbitmq", logs / "rabbitmq.log"),
        smtp=given_as("smtp", "SMTP_URL") or MailCatcher(processes, folder.mailbox, logs / "smtp.log"),
        traces=given_as("traces", "OTEL_EXPORTER_OTLP_ENDPOINT", needed=False)
        or SpanCatcher(processes, folder.traces, logs / "traces.log"),
    )
