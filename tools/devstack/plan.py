"""The processes of the stack, with their ports and their settings."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tools.devstack.system.errors import PortTaken, StackError
from tools.devstack.system.ports import free_port, is_free, next_free, reserve

DATA_SERVICES = ("users", "orders", "worker")
SERVICES = (*DATA_SERVICES, "gateway")
DEFAULT_PORT = 8000
_MOST_REPLICAS = 32
DRAIN_S = 2.0
"""Longer than clients keep idle connections, so that a process that shuts down answers every request."""


@dataclass(frozen=True)
class Planned:
    """One process of a service; `name` is the service's name, `label` the process's own."""

    name: str
    label: str
    port: int
    internal_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def internal_url(self) -> str:
        return f"http://127.0.0.1:{self.internal_port}"


def plan(port: int, replicas: Mapping[str, int]) -> list[Planned]:
    """Plan the data services first and the gateways last, the first gateway on `port`."""
    planned: list[Planned] = []
    reserve(port)
    for name in SERVICES:
        for number in range(1, replicas.get(name, 1) + 1):
            label = name if number == 1 else f"{name}-{number}"
            planned.append(Planned(name, label, _port(name, port, number, planned), free_port()))
    return planned


def choose_port(wish: int | None) -> int:
    """Return the requested port, or the default, or the next free one after that."""
    if wish is not None and not is_free(wish):
        raise PortTaken(f"port {wish} is taken; choose another with --port (or PORT=… make run)")
    return wish or next_free(DEFAULT_PORT)


def parse_replicas(texts: list[str]) -> dict[str, int]:
    """Parse `gateway=2` and the like; `worker=cpu` is one for each core that this process may use."""
    replicas = {}
    for text in texts:
        name, _, number = text.partition("=")
        if number == "cpu":
            number = str(min(cores(), _MOST_REPLICAS))
        if name not in SERVICES or not number.isdigit() or not 1 <= int(number) <= _MOST_REPLICAS:
            raise StackError(
                f"--replicas {text}: expected NAME=1..{_MOST_REPLICAS} or NAME=cpu, NAME one of {', '.join(SERVICES)}"
            )
        replicas[name] = int(number)
    return replicas


def cores() -> int:
    """Return the number of cores that this process may use, if the system reports it; otherwise all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _port(name: str, first: int, number: int, before: list[Planned]) -> int:
    if name != "gateway":
        return free_port()
    return first if number == 1 else reserve(next_free(before[-1].port + 1))


@dataclass(frozen=True)
class Addresses:
    """The URLs of the backing servers; `databases` by service. `smtputf8`: whether the mail server is known to offer
    it."""

    databases: Mapping[str, str]
    redis: str
    rabbitmq: str
    smtp: str
    storage: str
    traces: str
    smtputf8: bool = False


def shared_environment(addresses: Addresses, planned: Sequence[Planned], secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that all processes share. The user's own variables are the base."""
    urls = {name: [one.url for one in planned if one.name == name] for name in DATA_SERVICES}
    gateway = next(one.url for one in planned if one.name == "gateway")
    return {
        **os.environ,
        "ENVIRONMENT": "development",
        "INTERNAL_TOKEN_SECRET": secrets["INTERNAL_TOKEN_SECRET"],
        "USERS_SIGNING_KEYS": secrets["USERS_SIGNING_KEYS"],
        "WORKER_WEBHOOK_SECRET_KEYS": secrets["WORKER_WEBHOOK_SECRET_KEYS"],
        **{f"GATEWAY_{name.upper()}_URL": ",".join(urls[name]) for name in DATA_SERVICES},
        "GATEWAY_URL": gateway,
        "GATEWAY_JWKS_URL": ",".join(f"{url}/.well-known/jwks.json" for url in urls["users"]),
        "GATEWAY_REDIS_URL": addresses.redis,
        "GATEWAY_RABBITMQ_URL": addresses.rabbitmq,
        **{f"{name.upper()}_DATABASE_URL": addresses.databases[name] for name in DATA_SERVICES},
        **{f"{name.upper()}_RABBITMQ_URL": addresses.rabbitmq for name in DATA_SERVICES},
        "WORKER_ORDERS_URL": ",".join(urls["orders"]),
        "PUBLIC_URL": os.environ.get("PUBLIC_URL", gateway),
        "WORKER_SMTP_URL": addresses.smtp,
        **({"USERS_MAIL_SMTPUTF8": "true"} if addresses.smtputf8 else {}),
        "OTEL_EXPORTER_OTLP_ENDPOINT": addresses.traces,
        "TRACE_SAMPLE": os.environ.get("TRACE_SAMPLE", "1"),  # in development, people look at single requests
        "WORKER_STORAGE_URL": addresses.storage,
        "PYTHONUNBUFFERED": "1",
    }


def own_environment(one: Planned, planned: Sequence[Planned]) -> dict[str, str]:
    """Return the address of one process. Only a process with a replica drains, since another takes over from it."""
    own = {"LISTEN_HOST": "127.0.0.1", f"{one.name.upper()}_PORT": str(one.port)}
    if sum(other.name == one.name for other in planned) > 1:
        own["DRAIN_S"] = str(DRAIN_S)
    return own | ({"GATEWAY_INTERNAL_PORT": str(one.internal_port)} if one.name == "gateway" else {})
