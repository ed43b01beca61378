"""Which processes there will be, on which ports."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tools.devstack.system.errors import PortTaken, StackError
from tools.devstack.system.ports import free_port, is_free, next_free, reserve

DATA_SERVICES = ("users", "orders", "worker")
SERVICES = (*DATA_SERVICES, "gateway")
DEFAULT_PORT = 8000
_MOST_REPLICAS = 32
DRAIN_S = 2.0
"""Longer than clients keep idle connections, so that a process that ends leaves no request unheard."""


@dataclass(frozen=True)
class Planned:
    """One process of a service; `name` is the service's, `label` the process's own."""

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
    """Data services first, the gateways last, the first of them on `port`."""
    planned: list[Planned] = []
    reserve(port)
    for name in SERVICES:
        for number in range(1, replicas.get(name, 1) + 1):
            label = name if number == 1 else f"{name}-{number}"
            planned.append(Planned(name, label, _port(name, port, number, planned), free_port()))
    return planned


def choose_port(wish: int | None) -> int:
    """What the user asked for, or the default, or the next free one after that."""
    if wish is not None and not is_free(wish):
        raise PortTaken(f"port {wish} is taken; choose another with --port (or PORT=… make run)")
    return wish or next_free(DEFAULT_PORT)


def parse_replicas(texts: list[str]) -> dict[str, int]:
    """`gateway=2` and the like; `worker=cpu` is one for each core that this process may use."""
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
    """The cores that this process may use, where the system tells; else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _port(name: str, first: int, number: int, before: list[Planned]) -> int:
    if name != "gateway":
        return free_port()
    return first if number == 1 else reserve(next_free(before[-1].port + 1))
